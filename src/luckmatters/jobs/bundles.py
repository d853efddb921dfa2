"""Where each job leaves its files, and how errors say that they are made."""

from pathlib import Path

from luckmatters import artefacts
from luckmatters.artefacts import MANIFEST, Bundle
from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.kinds import verb
from luckmatters.settings.experiment import Run, config_hash
from luckmatters.settings.teachers import TEACHER_TEXTS, Teacher

# The rule of the workflow that calls a verb.
RULES = {
    "prepare-cifar10": "prepare_cifar10",
    "generate-teacher": "generate_teacher",
    "pretrain-teacher": "pretrain_teacher",
    "train": "train_students",
    "retrain": "retrain_pruned",
    "measure": "measure_students",
    "simulate": "simulate_dynamics",
    "observe": "observe_teachers",
    "extract": "extract_biases",
}


def bundle_of(project: Project, folder: Path, step: str) -> Bundle:
    """What a verb leaves in a folder."""
    command = f"snakemake --cores 1 {folder / MANIFEST} --config scale={project.scale_name}"
    return Bundle(folder, recipe=f"make it with: {command} (rule {RULES[step]})")


def teacher_bundle(project: Project, name: str) -> Bundle:
    """Where a teacher lies."""
    step = "pretrain-teacher" if project.teachers[name].init == "pretrained" else "generate-teacher"
    return bundle_of(project, artefacts.teacher_folder(project.results, name), step)


def cifar10_bundle(project: Project) -> Bundle:
    """Where the decoded images lie."""
    return bundle_of(project, artefacts.cifar10_folder(project.results), "prepare-cifar10")


def run_bundle(project: Project, run: Run, seeds: list[int]) -> Bundle:
    """Where a job of a run leaves its result."""
    folder = artefacts.run_folder(project.results, run.experiment, run.variant, artefacts.seed_label(seeds))
    return bundle_of(project, folder, verb(run))


def finished_bundle(project: Project, run: Run, seeds: list[int]) -> Bundle:
    """The same for a finished job. Raises UserError if it is missing or was made with other settings."""
    bundle = run_bundle(project, run, seeds)
    if bundle.manifest().get("config_hash") != config_hash(run):
        raise UserError(f"{bundle.folder}: was made with other settings than config/ has; {bundle.recipe}")
    return bundle


def teacher_settings(spec: Teacher) -> dict:
    """What a teacher's numbers depend on, as its manifest has it."""
    return spec.model_dump(mode="json", exclude_none=True, exclude=set(TEACHER_TEXTS))
