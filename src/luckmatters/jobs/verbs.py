"""The computing verbs of the command line, a function each: read inputs, compute, write the results whole."""

import os
import sys
from collections.abc import Callable, Iterator

from luckmatters import artefacts, kinds
from luckmatters.artefacts import TABLE, TENSORS
from luckmatters.config import Project
from luckmatters.dependencies import digest
from luckmatters.errors import UserError
from luckmatters.jobs.bundles import cifar10_bundle, finished_bundle, run_bundle, teacher_bundle, teacher_settings
from luckmatters.jobs.checkpoint import advance, finish_job
from luckmatters.jobs.device import prepare_device
from luckmatters.jobs.inputs import (
    IMAGE_TENSORS,
    check_same_images,
    kept_teacher,
    own_run,
    published_norms,
    read_images,
    read_teachers,
    run_data,
    sample_source,
    teacher_spec,
)
from luckmatters.provenance import provenance
from luckmatters.settings.experiment import Run, config_hash
from luckmatters.tables.files import pack, to_parquet, unpack


def prepare_cifar10(project: Project) -> None:
    """Decode CIFAR-10 from the configured source into the file that all other jobs read."""
    from luckmatters import cifar10

    settings, scale = project.settings.cifar10, project.scale
    source, path = cifar10.locate(settings.source, settings.path, os.environ, scale.cifar10_default)
    arrays = cifar10.read(source, path, limit=scale.cifar10_limit)
    import torch

    tensors = {name: torch.from_numpy(getattr(arrays, name)) for name in IMAGE_TENSORS}
    manifest = {"data": arrays.description, "source": source, **provenance()}
    cifar10_bundle(project).save({TENSORS: pack(tensors)}, manifest)


def generate_teacher(project: Project, name: str) -> None:
    """Draw all networks of a random teacher in config/teachers.yaml."""
    spec = teacher_spec(project, name, trained=False)
    from luckmatters.science.teachers import draw_teachers

    networks = draw_teachers(
        spec.shape, [*spec.widths, spec.outputs], init=spec.init, seeds=range(spec.count), kernel=spec.kernel,
        bias=spec.bias,
    )  # fmt: skip
    manifest = {"teacher": name, "settings": spec.model_dump(mode="json"), **provenance()}
    teacher_bundle(project, name).save({TENSORS: pack(networks.state())}, manifest)


def train_teacher(project: Project, name: str) -> None:
    """Train all networks of a teacher on the labels of CIFAR-10. Resumes from a checkpoint.

    A teacher that is kept is copied instead, unless kept results are ignored.
    """
    spec = teacher_spec(project, name, trained=True)
    images, image_sums, description = read_images(project)
    if project.keeping != "ignore" and (kept := kept_teacher(project, name, image_sums)):
        teacher_bundle(project, name).save(*kept)
        return
    device = prepare_device(project)
    from luckmatters.learning import teachers as teacher_training

    training = spec.learning.training
    data = sample_source(spec.learning.data, spec.shape, training.batch, images, device, f"teacher {name}")
    identity = {"settings": teacher_settings(spec), "seeds": list(range(spec.count)), "device": device}
    identity |= {"inputs": image_sums, "sources": digest("learning.teachers", "learning.data")}
    try:
        state, seconds = advance(
            project,
            teacher_bundle(project, name),
            identity,
            lambda resume: teacher_training.train(spec, data, device=device, resume=resume),
            training.epochs,
            f"teacher {name}",
        )
    except FloatingPointError as error:
        raise UserError(f"config/teachers.yaml: {name}.learning.training.learning_rate: {error}; lower it") from None
    result = teacher_training.finish(range(spec.count), state)
    final = result.table.query("quantity == 'accuracy' and epoch == @training.epochs")["value"]
    print(f"teacher {name}: test accuracy {final.mean():.2%}", file=sys.stderr, flush=True)
    manifest = {
        "teacher": name, **identity, "data": description, "test_accuracy": final.tolist(),
        "seconds": round(seconds, 1), **provenance(),
    }  # fmt: skip
    finish_job(teacher_bundle(project, name), _files(result), manifest)


def train(project: Project, experiment: str, variant: str, seeds: list[int]) -> None:
    """Train one variant for some seeds. Resumes from a checkpoint."""
    _run_job(project, own_run(project, experiment, variant, seeds, "train"), seeds)


def retrain(project: Project, experiment: str, variant: str, seeds: list[int]) -> None:
    """Prune the networks of another experiment's training run and train them again. Resumes from a checkpoint."""
    _run_job(project, own_run(project, experiment, variant, seeds, "retrain"), seeds)


def simulate(project: Project, experiment: str, variant: str, seeds: list[int]) -> None:
    """Simulate dynamics without a teacher's file or a data set, for some seeds. Resumes from a checkpoint."""
    _run_job(project, own_run(project, experiment, variant, seeds, "simulate"), seeds)


def measure(project: Project, experiment: str, variant: str, seeds: list[int]) -> None:
    """Measure the networks of another experiment's training run."""
    run = own_run(project, experiment, variant, seeds, "measure")
    trained = finished_bundle(project, run.source, seeds)
    tensors, (teachers, sums) = unpack(trained.read(TENSORS)), read_teachers(project, run.source, "cpu")
    data, image_sums, description = run_data(project, run.source, "cpu")
    prepare_device(project)
    result = kinds.runner(run).measure(run, teachers, data, tensors, seeds)
    files, inputs = _files(result, run), {**sums, **image_sums, **trained.manifest()["files"]}
    facts = {"data": description, "diverged": trained.manifest()["diverged"], "inputs": inputs}
    _save_measured(project, run, seeds, files, facts)


def observe(project: Project, experiment: str, variant: str, seeds: list[int]) -> None:
    """Measure teachers on samples, before and after their training. There is no student."""
    run = own_run(project, experiment, variant, seeds, "observe")
    prepare_device(project)
    settings, kind = run.settings.data, kinds.runner(run)
    teachers, sums = read_teachers(project, run, "cpu")
    images, image_sums, origin = read_images(project) if settings.kind == "cifar10" else (None, {}, "")
    check_same_images(project, run, image_sums)
    try:
        data = kind.data_source(settings, run.teacher.shape, images)
    except ValueError as error:
        raise UserError(f"{experiment}/{variant}: {error}; lower evaluation_samples") from None
    description = origin or f"GAUS, x ~ N(0, {settings.std:g}² I); generated"
    facts = {"data": description, "diverged": {}, "inputs": {**sums, **image_sums}}
    _save_measured(project, run, seeds, _files(kind.observe(run, teachers, data, seeds), run), facts)


def extract(project: Project, experiment: str, variant: str, seeds: list[int]) -> None:
    """Tabulate the BatchNorm of a pretrained network, from the weights or from published numbers.

    A network without published numbers is read from its weights, or from the kept table, at every scale.
    """
    run = own_run(project, experiment, variant, seeds, "extract")
    by_scale = project.settings.weights == "auto"
    why = f"scale {project.scale_name} reads none" if by_scale else "`weights` is set to published"
    model, norms = run.settings.model, None
    published, inputs = published_norms(project, model)
    if project.weights != "published" or not published:
        from luckmatters import pretrained

        try:
            norms = pretrained.read(model, kept=artefacts.pretrained_folders(project.root, model))
        except pretrained.UnreachableError as error:
            if project.weights == "torchvision":
                raise
            why = f"no download: {error.why}"
            print(f"{experiment}/{variant}: {error}; published numbers stand in", file=sys.stderr, flush=True)
    table = kinds.runner(run).tabulate(norms and norms.table, published)
    facts = {
        "data": pretrained.describe(norms) if norms else f"published numbers of {model}, not its weights ({why})",
        "weights": norms and norms.origin, "no_weights": None if norms else why, "inputs": inputs, "diverged": {},
    }  # fmt: skip
    _save_measured(project, run, seeds, {TABLE: to_parquet(table, run)}, facts)


def begin(project: Project, run: Run, seeds: list[int], device: str) -> tuple[Callable[..., Iterator], str, dict]:
    """What a run that trains, retrains or simulates begins with, read from the project's results.

    The function that yields the states (see :func:`advance`), a description of the samples, and checksums of inputs.
    """
    kind, trained, rest = kinds.runner(run), run.trained, {"seeds": seeds, "device": device}
    if kinds.verb(run) == "simulate":
        return lambda resume: kind.simulate(run, **rest, resume=resume), kind.describe(run), {}
    teachers, sums = read_teachers(project, trained, device)
    data, image_sums, description = run_data(project, trained, device)
    check_same_images(project, trained, image_sums)
    inputs = {**sums, **image_sums}
    if kinds.verb(run) == "train":
        return lambda resume: kind.train(run, teachers, data, **rest, resume=resume), description, inputs
    finished = finished_bundle(project, run.source, seeds)
    tensors = unpack(finished.read(TENSORS))
    inputs |= finished.manifest()["files"]
    return lambda resume: kind.retrain(run, teachers, data, tensors, **rest, resume=resume), description, inputs


def _run_job(project: Project, run: Run, seeds: list[int]) -> None:
    """Advance a run to the last state and write the result."""
    device = prepare_device(project)
    start, data, inputs = begin(project, run, seeds, device)
    kind, bundle = kinds.runner(run), run_bundle(project, run, seeds)
    label = f"{run.experiment}/{run.variant} seeds {artefacts.seed_label(seeds)}"
    identity = {"config_hash": config_hash(run), "seeds": seeds, "device": device, "inputs": inputs}
    identity["sources"] = digest(kinds.run_name(run.kind))
    state, seconds = advance(project, bundle, identity, start, kind.last(run), label)
    result = kind.finish(run, seeds, state)
    diverged = result.table.query("quantity == 'diverged' and value == 1").groupby("seed")["epoch"].min()
    for seed, epoch in diverged.items():
        print(f"{label}: seed {seed} diverged at epoch {epoch:g}", file=sys.stderr, flush=True)
    manifest = {
        **_description(run), **identity, "diverged": {str(seed): epoch for seed, epoch in diverged.items()},
        "data": data, "seconds": round(seconds, 1), **provenance(),
    }  # fmt: skip
    finish_job(bundle, _files(result, run), manifest)


def _files(result, run: Run | None = None) -> dict[str, bytes]:
    """Contents of a job's files, by file name."""
    return {TABLE: to_parquet(result.table, run), TENSORS: pack(result.tensors)}


def _save_measured(project: Project, run: Run, seeds: list[int], files: dict[str, bytes], facts: dict) -> None:
    """Write the result of a job without training; facts: entries of the manifest (data, diverged, inputs, …)."""
    identity = {"config_hash": config_hash(run), "seeds": seeds, "device": "cpu"}
    run_bundle(project, run, seeds).save(files, {**_description(run), **identity, **facts, **provenance()})


def _description(run: Run) -> dict:
    return run.model_dump(mode="json", include={"experiment", "variant", "scale", "kind", "settings", "teacher"})
