"""Bundles of jobs: the folder of each job's files, and the command that makes them again."""

from pathlib import Path

from luckmatters import artefacts
from luckmatters.artefacts import MANIFEST, Bundle
from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.kinds import verb
from luckmatters.settings.experiment import Run, config_hash
from luckmatters.settings.teachers import TEACHER_TEXTS, Teacher

# The rule of the workflow that calls each verb.
RULES = {
    "prepare-cifar10": "prepare_cifar10",
    "generate-teacher": "generate_teacher",
    "train-teacher": "train_teacher",
    "train": "train_students",
    "retrain": "retrain_pruned",
    "measure": "measure_students",
    "simulate": "simulate_dynamics",
    "observe": "observe_teachers",
    "extract": "extract_biases",
}


def bundle_of(project: Project, folder: Path, step: str) -> Bundle:
    """Bundle in a folder, with the command that makes it; step: a verb in RULES."""
    command = f"snakemake --cores 1 {folder / MANIFEST} --config scale={project.scale_name}"
    return Bundle(folder, recipe=f"make it with: {command} (rule {RULES[step]})")


def teacher_bundle(project: Project, name: str) -> Bundle:
    """Bundle of a teacher's networks."""
    step = "train-teacher" if project.teachers[name].init == "trained" else "generate-teacher"
    return bundle_of(project, artefacts.teacher_folder(project.results, name), step)


def cifar10_bundle(project: Project) -> Bundle:
    """Bundle of the decoded images of CIFAR-10."""
    return bundle_of(project, artefacts.cifar10_folder(project.results), "prepare-cifar10")


def run_bundle(project: Project, run: Run, seeds: list[int]) -> Bundle:
    """Bundle of a job: a run for some seeds, finished or not."""
    folder = artefacts.run_folder(project.results, run.experiment, run.variant, artefacts.seed_label(seeds))
    return bundle_of(project, folder, verb(run))


def finished_bundle(project: Project, run: Run, seeds: list[int]) -> Bundle:
    """Bundle of a finished job. Raises UserError if the result is missing or was made with other settings."""
    bundle = run_bundle(project, run, seeds)
    check_settings(bundle, run)
    return bundle


def check_settings(bundle: Bundle, run: Run) -> None:
    """Raises UserError if the results of a run are missing or were made with other settings."""
    if bundle.manifest().get("config_hash") != config_hash(run):
        raise UserError(f"{bundle.folder}: was made with other settings than config/ has; {bundle.recipe}")


def result_bundles(project: Project, run: Run, *, tensors: bool = False) -> list[tuple[Bundle, list[int]]]:
    """The bundles that hold the results of a run, each with the seeds to read from it, kept results first.

    tensors: whether the tensors are needed; kept results without tensors do not count then.
    """
    kept, chunks = None if project.keeping == "ignore" else project.kept(run), project.chunks(run)
    seeds = set(kept.seeds) if kept and (kept.tensors or not tensors) else set()
    there = [seed for chunk in chunks if seeds.issuperset(chunk) for seed in chunk]
    jobs = [(run_bundle(project, run, chunk), chunk) for chunk in chunks if not seeds.issuperset(chunk)]
    return [*([(kept.bundle, there)] if there else []), *jobs]


def teacher_settings(spec: Teacher) -> dict:
    """Settings that a teacher's numbers depend on, in the form of a manifest."""
    return spec.model_dump(mode="json", exclude_none=True, exclude=set(TEACHER_TEXTS))
