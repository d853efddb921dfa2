"""Inputs of jobs: teachers, images, samples, published numbers."""

import io
import sys

from luckmatters import artefacts, kinds
from luckmatters.artefacts import TABLE, TENSORS, AlteredError, Bundle
from luckmatters.config import Project
from luckmatters.config.files import choose
from luckmatters.errors import UserError
from luckmatters.jobs.bundles import cifar10_bundle, teacher_bundle, teacher_settings
from luckmatters.settings.experiment import Run
from luckmatters.settings.teachers import Teacher
from luckmatters.tables.files import to_parquet, unpack

IMAGE_TENSORS = ("train_images", "train_labels", "test_images", "test_labels")


def published_norms(project: Project, model: str) -> tuple[list, dict[str, str]]:
    """Published tables of a pretrained network's BatchNorm, and the checksums of their files."""
    import pandas as pd

    contents = {path: path.read_bytes() for path in artefacts.published_norms(project.root)}
    tables = [pd.read_csv(io.BytesIO(content)) for content in contents.values()]
    tables = [table[table["model"] == model] for table in tables]
    sums = {f"data/published/{path.name}": artefacts.sha256(content) for path, content in contents.items()}
    return [table for table in tables if len(table)], sums


def teacher_spec(project: Project, name: str, *, trained: bool) -> Teacher:
    """An entry of config/teachers.yaml. Raises UserError if the entry is not trained, or untrained, as asked."""
    spec = project.teachers[choose(name, project.teachers, "teacher")]
    if (spec.init == "trained") != trained:
        raise UserError(f"teacher {name} has init {spec.init}, this verb is for {'' if trained else 'un'}trained ones")
    return spec


def own_run(project: Project, experiment: str, variant: str, seeds: list[int], verb: str) -> Run:
    """The run that a command names. Raises UserError if the run has another verb or lacks some of the seeds."""
    run = project.run(experiment, variant)
    if (needed := kinds.verb(run)) != verb:
        raise UserError(f"experiment {experiment} is of kind {run.kind}, whose verb is {needed}, not {verb}")
    if missing := set(seeds) - set(run.seeds):
        raise UserError(
            f"--seeds: {experiment}/{variant} at scale {project.scale_name} has seeds "
            f"{artefacts.seed_label(run.seeds)}, not {artefacts.seed_label(sorted(missing))}"
        )
    return run


def read_teachers(project: Project, run: Run, device: str) -> tuple:
    """Networks of a run's teacher on a device, and the checksum of their file."""
    from luckmatters.science.networks import Networks

    name = run.settings.teacher.name
    content = teacher_bundle(project, name).read(TENSORS)
    return Networks.from_state(unpack(content), device=device), {f"teachers/{name}": artefacts.sha256(content)}


def kept_teacher(
    project: Project, name: str, image_sums: dict[str, str] | None = None
) -> tuple[dict[str, bytes], dict] | None:
    """Files and manifest of a kept trained teacher; None if none is kept for these settings and images.

    image_sums: checksums of the images at hand; None does not compare them. Raises UserError if a file is damaged.
    """
    import pandas as pd

    path = project.root / artefacts.teacher_reference_file(project.scale_name, name)
    bundle = Bundle(path.parent, path.with_suffix(".json").name, recipe="train it again", kept=True)
    if not path.with_suffix(".json").exists():
        return None
    origin = bundle.manifest("settings", "inputs")
    same_images = image_sums in (None, origin["inputs"])
    if origin["settings"] != teacher_settings(project.teachers[name]) or not same_images:
        print(f"teacher {name}: the kept one is of other settings or images", file=sys.stderr, flush=True)
        return None
    table = pd.read_csv(io.BytesIO(bundle.read(path.name))).assign(layer=pd.NA).astype({"layer": "Int64"})
    files = {TABLE: to_parquet(table), TENSORS: bundle.read(path.with_suffix(".safetensors").name)}
    return files, {key: value for key, value in origin.items() if key not in ("files", "written_with", "teacher_files")}


def read_images(project: Project) -> tuple[dict, dict[str, str], str]:
    """Tensors of the decoded CIFAR-10, their checksum, and a description.

    A damaged file is deleted. Raises UserError.
    """
    bundle = cifar10_bundle(project)
    try:
        content = bundle.read(TENSORS)
    except AlteredError:
        path = bundle.folder / TENSORS
        path.unlink()  # the next run of snakemake makes a missing file again
        raise UserError(f"{path}: is truncated or altered, and has been removed; run snakemake again") from None
    return unpack(content), {"datasets/cifar10": artefacts.sha256(content)}, bundle.manifest()["data"]


def check_same_images(project: Project, run: Run, image_sums: dict[str, str]) -> None:
    """Compare the images with those of the teacher's training. Raises UserError if they differ."""
    bundle = teacher_bundle(project, run.settings.teacher.name)
    if run.teacher.learning and bundle.manifest()["inputs"] != image_sums:
        raise UserError(
            f"{bundle.folder}: was trained on other images than {cifar10_bundle(project).folder} holds; "
            f"luckmatters train-teacher {run.settings.teacher.name} trains it again"
        )


def run_data(project: Project, run: Run, device: str) -> tuple:
    """Samples of a run, the checksums of the files read, and a description for captions."""
    settings, where = run.settings.data, f"{run.experiment}/{run.variant}"
    images, sums, origin = read_images(project) if settings.kind == "cifar10" else (None, {}, "")
    data = sample_source(settings, run.teacher.shape, run.settings.training.batch, images, device, where)
    samples = f"{settings.samples_per_epoch:,} samples an epoch"
    of_set = settings.finite and f"one set of {settings.finite.size:,}"
    if settings.kind == "gaus":
        kind = of_set or ("new samples every epoch" if settings.infinite else "one set, reused")
        return data, sums, f"GAUS, x ~ N(0, {settings.std:g}² I), {samples}, {kind}; generated"
    kind = of_set or ("random crops and flips" if settings.augment else "as they are")
    return data, sums, f"{origin}; {samples}, {kind}"


def sample_source(settings, inputs: tuple[int, ...], batch: int, images: dict | None, device: str, where: str):
    """Source of samples for the settings. Raises UserError if there are fewer images than the settings ask for."""
    from luckmatters.learning.data import data_source

    try:
        return data_source(settings, inputs, batch, images, device)
    except ValueError as error:
        raise UserError(f"{where}: {error}; lower samples_per_epoch or evaluation_samples") from None
