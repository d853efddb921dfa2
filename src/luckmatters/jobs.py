"""One function a verb of the command line: read what the step needs, compute, write its artefacts whole."""

import ctypes
import importlib
import io
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from luckmatters import artefacts
from luckmatters.artefacts import MANIFEST, TABLE, TENSORS, AlteredError, Bundle
from luckmatters.config import Project, Run
from luckmatters.config.files import choose
from luckmatters.config.load import config_hash
from luckmatters.config.schema import TEACHER_TEXTS, Teacher
from luckmatters.errors import UserError
from luckmatters.progress import progress
from luckmatters.provenance import provenance

RULES = {
    "train": "train_students",
    "retrain": "retrain_pruned",
    "measure": "measure_students",
    "simulate": "simulate_dynamics",
    "observe": "observe_teachers",
    "extract": "extract_biases",
}
TEACHER_RULE, PRETRAIN_RULE, CIFAR10_RULE = "generate_teacher", "pretrain_teacher", "prepare_cifar10"

IMAGE_TENSORS = ("train_images", "train_labels", "test_images", "test_labels")


def bundle_of(project: Project, folder: Path, rule: str) -> Bundle:
    """What a rule of the workflow leaves in a folder."""
    command = f"snakemake --cores 1 {folder / MANIFEST} --config scale={project.scale_name}"
    return Bundle(folder, recipe=f"make it with: {command} (rule {rule})")


def teacher_bundle(project: Project, name: str) -> Bundle:
    """Where a teacher lies."""
    rule = PRETRAIN_RULE if project.teachers[name].init == "pretrained" else TEACHER_RULE
    return bundle_of(project, artefacts.teacher_folder(project.results, name), rule)


def cifar10_bundle(project: Project) -> Bundle:
    """Where the decoded images lie."""
    return bundle_of(project, artefacts.cifar10_folder(project.results), CIFAR10_RULE)


def run_bundle(project: Project, run: Run, seeds: list[int]) -> Bundle:
    """Where a job of a run leaves its result."""
    folder = artefacts.run_folder(project.results, run.experiment, run.variant, artefacts.seed_label(seeds))
    return bundle_of(project, folder, RULES[run.step])


def finished_bundle(project: Project, run: Run, seeds: list[int]) -> Bundle:
    """The same for a finished job. Raises UserError if it is missing or was made with other settings."""
    bundle = run_bundle(project, run, seeds)
    if bundle.manifest().get("config_hash") != config_hash(run):
        raise UserError(f"{bundle.folder}: was made with other settings than config/ has; {bundle.recipe}")
    return bundle


def prepare_cifar10(project: Project) -> None:
    """Read CIFAR-10 from its source, once; everything else reads what this leaves."""
    from luckmatters import cifar10

    settings = project.settings.cifar10
    source, path = cifar10.locate(settings.source, settings.path, os.environ)
    if settings.source == "auto" and path is None:
        source = project.scale.cifar10_default
    read = cifar10.read(source, path, limit=project.scale.cifar10_limit)
    import torch

    tensors = {name: torch.from_numpy(getattr(read, name)) for name in IMAGE_TENSORS}
    manifest = {"data": read.description, "source": source, **provenance()}
    cifar10_bundle(project).save({TENSORS: _pack(tensors)}, manifest)


def generate_teacher(project: Project, name: str) -> None:
    """Draw all networks of a random teacher in config/teachers.yaml."""
    spec = _teacher_spec(project, name, pretrained=False)
    from luckmatters.science.teachers import draw_teachers

    networks = draw_teachers(
        spec.shape, [*spec.widths, spec.outputs], init=spec.init, seeds=range(spec.count), kernel=spec.kernel
    )
    manifest = {"teacher": name, "settings": spec.model_dump(mode="json"), **provenance()}
    teacher_bundle(project, name).save({TENSORS: _pack(networks.state())}, manifest)


def teacher_settings(spec: Teacher) -> dict:
    """What a teacher's numbers depend on, as its manifest has it."""
    return spec.model_dump(mode="json", exclude_none=True, exclude=set(TEACHER_TEXTS))


def pretrain_teacher(project: Project, name: str) -> None:
    """Train all networks of a teacher on the labels of CIFAR-10; resumes from its own checkpoint."""
    spec = _teacher_spec(project, name, pretrained=True)
    device = _device(project)
    from luckmatters.experiments import teacher_training

    training = spec.pretraining.training
    images, image_sums, description = _images(project)
    data = _data(spec.pretraining.data, spec.shape, training.batch, images, device, f"teacher {name}")
    identity = {"settings": teacher_settings(spec), "device": device, "inputs": image_sums}
    try:
        state, seconds = _advance(
            project,
            teacher_bundle(project, name),
            identity,
            lambda resume: teacher_training.train(spec, data, device=device, resume=resume),
            training.epochs,
            f"teacher {name}",
        )
    except FloatingPointError as error:
        raise UserError(f"config/teachers.yaml: {name}.pretraining.training.learning_rate: {error}; lower it") from None
    result = teacher_training.finish(range(spec.count), state)
    final = result.table.query("quantity == 'accuracy' and epoch == @training.epochs")["value"]
    print(f"teacher {name}: test accuracy {final.mean():.2%}", file=sys.stderr, flush=True)
    manifest = {
        "teacher": name, **identity, "data": description, "test_accuracy": final.tolist(),
        "seconds": round(seconds, 1), **provenance(),
    }  # fmt: skip
    _finish(teacher_bundle(project, name), _files(result), manifest)


def train(project: Project, experiment: str, variant: str, seeds: list[int]) -> None:
    """Train one variant for some seeds; resumes from its own checkpoint if it was killed before."""
    run = _own(project, experiment, variant, seeds, "train")
    device = _device(project)
    kind = _module(run)
    teachers, sums = _teachers(project, run, device)
    data, image_sums, description = _run_data(project, run, device)
    _same_images(project, run, image_sums)

    def start(resume):
        return kind.train(run, teachers, data, seeds, device=device, resume=resume)

    _run_job(project, run, seeds, device, start, description, {**sums, **image_sums})


def retrain(project: Project, experiment: str, variant: str, seeds: list[int]) -> None:
    """Prune what another experiment's training run has left, and train it again; resumes likewise."""
    run = _own(project, experiment, variant, seeds, "retrain")
    device = _device(project)
    kind, trained = _module(run), finished_bundle(project, run.source, seeds)
    tensors, (teachers, sums) = _unpack(trained.read(TENSORS)), _teachers(project, run.source, device)
    data, image_sums, description = _run_data(project, run.source, device)
    _same_images(project, run.source, image_sums)

    def start(resume):
        return kind.retrain(run, teachers, data, tensors, seeds, device=device, resume=resume)

    inputs = {**sums, **image_sums, **trained.manifest()["files"]}
    _run_job(project, run, seeds, device, start, description, inputs)


def simulate(project: Project, experiment: str, variant: str, seeds: list[int]) -> None:
    """Run dynamics that need no teacher's file and no data set, for some seeds; resumes likewise."""
    run = _own(project, experiment, variant, seeds, "simulate")
    device = _device(project)
    kind = _module(run)

    def start(resume):
        return kind.simulate(run, seeds, device=device, resume=resume)

    _run_job(project, run, seeds, device, start, kind.describe(run), {})


def measure(project: Project, experiment: str, variant: str, seeds: list[int]) -> None:
    """Measure what another experiment's training run has left."""
    run = _own(project, experiment, variant, seeds, "measure")
    trained = finished_bundle(project, run.source, seeds)
    tensors, (teachers, sums) = _unpack(trained.read(TENSORS)), _teachers(project, run.source, "cpu")
    data, image_sums, description = _run_data(project, run.source, "cpu")
    _device(project)
    result = _module(run).measure(run, teachers, data, tensors, seeds)
    files, inputs = _files(result, run), {**sums, **image_sums, **trained.manifest()["files"]}
    said = {"data": description, "diverged": trained.manifest()["diverged"], "inputs": inputs}
    _save_measured(project, run, seeds, files, said)


def observe(project: Project, experiment: str, variant: str, seeds: list[int]) -> None:
    """Measure teachers on samples, before and after their own training; no student is involved."""
    run = _own(project, experiment, variant, seeds, "observe")
    _device(project)
    settings, kind = run.settings.data, _module(run)
    teachers, sums = _teachers(project, run, "cpu")
    images, image_sums, origin = _images(project) if settings.kind == "cifar10" else (None, {}, "")
    _same_images(project, run, image_sums)
    try:
        data = kind.data_source(settings, run.teacher.shape, images)
    except ValueError as error:
        raise UserError(f"{experiment}/{variant}: {error}; lower evaluation_samples") from None
    description = origin or f"GAUS, x ~ N(0, {settings.std:g}² I); generated"
    said = {"data": description, "diverged": {}, "inputs": {**sums, **image_sums}}
    _save_measured(project, run, seeds, _files(kind.observe(run, teachers, data, seeds), run), said)


def extract(project: Project, experiment: str, variant: str, seeds: list[int]) -> None:
    """Tabulate the BatchNorm of a pretrained network, from its weights or, without, from published numbers."""
    run = _own(project, experiment, variant, seeds, "extract")
    by_scale = project.settings.weights == "auto"
    why = f"scale {project.scale_name} reads none" if by_scale else "`weights` is set to published"
    model, norms = run.settings.model, None
    if project.weights != "published":
        from luckmatters import pretrained

        try:
            norms = pretrained.read(model, kept=artefacts.pretrained_folders(project.root, model))
        except pretrained.UnreachableError as error:
            if project.weights == "torchvision":
                raise
            why = f"no download: {error.why}"
            print(f"{experiment}/{variant}: {error}; published numbers stand in", file=sys.stderr, flush=True)
    published, inputs = _published_norms(project, model)
    table = _module(run).tabulate(norms and norms.table, published)
    said = {
        "data": pretrained.describe(norms) if norms else f"published numbers of {model}, not its weights ({why})",
        "weights": norms and norms.origin, "no_weights": None if norms else why, "inputs": inputs, "diverged": {},
    }  # fmt: skip
    _save_measured(project, run, seeds, {TABLE: _to_parquet(table, run)}, said)


# --- parts -----------------------------------------------------------------------------------------------------------


def _module(run: Run):
    """The module of a run's kind."""
    return importlib.import_module(f"luckmatters.experiments.{run.kind.replace('-', '_')}")


def _run_job(
    project: Project, run: Run, seeds: list[int], device: str, start: Callable[..., Iterator], data: str, inputs: dict
) -> None:
    """Advance a run to its end and write what it leaves; start: see :func:`_advance`."""
    kind, bundle = _module(run), run_bundle(project, run, seeds)
    label = f"{run.experiment}/{run.variant} seeds {artefacts.seed_label(seeds)}"
    identity = {"config_hash": config_hash(run), "seeds": seeds, "device": device, "inputs": inputs}
    state, seconds = _advance(project, bundle, identity, start, kind.last(run), label)
    result = kind.finish(run, seeds, state)
    diverged = result.table.query("quantity == 'diverged' and value == 1").groupby("seed")["epoch"].min()
    for seed, epoch in diverged.items():
        print(f"{label}: seed {seed} diverged at epoch {epoch:g}", file=sys.stderr, flush=True)
    manifest = {
        **_description(run), **identity, "diverged": {str(seed): epoch for seed, epoch in diverged.items()},
        "data": data, "seconds": round(seconds, 1), **provenance(),
    }  # fmt: skip
    _finish(bundle, _files(result, run), manifest)


def _files(result, run: Run | None = None) -> dict[str, bytes]:
    """What a job leaves, by file name."""
    return {TABLE: _to_parquet(result.table, run), TENSORS: _pack(result.tensors)}


def _save_measured(project: Project, run: Run, seeds: list[int], files: dict[str, bytes], said: dict) -> None:
    """Write what a job leaves that trained nothing; said: data, diverged, inputs, and whatever else is to be known."""
    identity = {"config_hash": config_hash(run), "seeds": seeds, "device": "cpu"}
    run_bundle(project, run, seeds).save(files, {**_description(run), **identity, **said, **provenance()})


def _published_norms(project: Project, model: str) -> tuple[list, dict[str, str]]:
    """What others published of a pretrained network, a table a file; the checksums of the files."""
    import pandas as pd

    contents = {path: path.read_bytes() for path in artefacts.published_norms(project.root)}
    tables = [pd.read_csv(io.BytesIO(content)) for content in contents.values()]
    tables = [table[table["model"] == model] for table in tables]
    sums = {f"data/published/{path.name}": artefacts.sha256(content) for path, content in contents.items()}
    return [table for table in tables if len(table)], sums


def _teacher_spec(project: Project, name: str, *, pretrained: bool) -> Teacher:
    """An entry of config/teachers.yaml, if it is of the kind that the verb makes."""
    spec = project.teachers[choose(name, project.teachers, "teacher")]
    if (spec.init == "pretrained") != pretrained:
        raise UserError(
            f"teacher {name} has init {spec.init}, this verb is for {'' if pretrained else 'un'}trained ones"
        )
    return spec


def _device(project: Project) -> str:
    """Set torch up for a job; the device that trains. Raises UserError if this machine has none of that kind."""
    import torch

    # No more than there are, or than Snakemake allows through the environment (both are what torch starts with).
    torch.set_num_threads(min(project.scale.threads_per_job, torch.get_num_threads()))
    keep_freed_memory()
    device = project.settings.device
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda is asked for, but this machine has none that torch can use; set device to cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return device


def keep_freed_memory() -> None:
    """Have malloc keep what is freed, since every step asks for the same again; it would give large blocks back.

    New pages cost a ConvNet up to a fifth of its time. For glibc alone; the numbers are those of mallopt(3).
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt, mmap_max, trim_threshold = ctypes.CDLL(None).mallopt, -4, -1
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)


def _own(project: Project, experiment: str, variant: str, seeds: list[int], verb: str) -> Run:
    """The run that a command names, if its kind and its seeds fit."""
    run = project.run(experiment, variant)
    if run.step != verb:
        raise UserError(f"experiment {experiment} is of kind {run.kind}, whose verb is {run.step}, not {verb}")
    if missing := set(seeds) - set(run.seeds):
        raise UserError(
            f"--seeds: {experiment}/{variant} at scale {project.scale_name} has seeds "
            f"{artefacts.seed_label(run.seeds)}, not {artefacts.seed_label(sorted(missing))}"
        )
    return run


def _teachers(project: Project, run: Run, device: str) -> tuple:
    """The networks of a run's teacher file, on a device, and the file's checksum."""
    from luckmatters.science.networks import Networks

    name = run.settings.teacher.name
    content = teacher_bundle(project, name).read(TENSORS)
    return Networks.from_state(_unpack(content), device=device), {f"teachers/{name}": artefacts.sha256(content)}


def _images(project: Project) -> tuple[dict, dict[str, str], str]:
    """The tensors of the decoded CIFAR-10, their checksum, and what they are; a damaged file is taken away."""
    bundle = cifar10_bundle(project)
    try:
        content = bundle.read(TENSORS)
    except AlteredError:
        path = bundle.folder / TENSORS
        path.unlink()  # so that the next run of snakemake makes it again
        raise UserError(f"{path}: is truncated or altered, and has been removed; run snakemake again") from None
    return _unpack(content), {"datasets/cifar10": artefacts.sha256(content)}, bundle.manifest()["data"]


def _same_images(project: Project, run: Run, image_sums: dict[str, str]) -> None:
    """Raises UserError if the run's teacher was trained on other images than those that are there now."""
    bundle = teacher_bundle(project, run.settings.teacher.name)
    if run.teacher.pretraining and bundle.manifest()["inputs"] != image_sums:
        raise UserError(
            f"{bundle.folder}: was trained on other images than {cifar10_bundle(project).folder} holds; "
            f"luckmatters pretrain-teacher {run.settings.teacher.name} trains it again"
        )


def _run_data(project: Project, run: Run, device: str) -> tuple:
    """What a run trains on, the checksum of what was read for it, and its description for captions."""
    settings, where = run.settings.data, f"{run.experiment}/{run.variant}"
    images, sums, origin = _images(project) if settings.kind == "cifar10" else (None, {}, "")
    data = _data(settings, run.teacher.shape, run.settings.training.batch, images, device, where)
    samples = f"{settings.samples_per_epoch:,} samples an epoch"
    if settings.kind == "gaus":
        kind = "new samples every epoch" if settings.infinite else "one set, reused"
        return data, sums, f"GAUS, x ~ N(0, {settings.std:g}² I), {samples}, {kind}; generated"
    return data, sums, f"{origin}; {samples}, {'random crops and flips' if settings.augment else 'as they are'}"


def _data(settings, inputs: tuple[int, ...], batch: int, images: dict | None, device: str, where: str):
    """The source of samples. Raises UserError if there are fewer images than the settings ask for."""
    from luckmatters.experiments.student_training import data_source

    try:
        return data_source(settings, inputs, batch, images, device)
    except ValueError as error:
        raise UserError(f"{where}: {error}; lower samples_per_epoch or evaluation_samples") from None


def _advance(
    project: Project, bundle: Bundle, identity: dict, start: Callable[..., Iterator], last: int, label: str
) -> tuple:
    """Run to the last state, from a checkpoint if there is a fitting one; the last state, and the seconds it took.

    start: given a state or None, yields the states after it, that before training first. The seconds are those of all
    its sessions, without what a kill undid.
    """
    checkpoint = Bundle(bundle.folder, "checkpoint.json")
    resume, spent = _resume(checkpoint, identity) or (None, 0.0)
    state, began = resume, time.monotonic() - spent
    if resume:
        print(f"{label}: resuming after epoch {resume.epoch}", file=sys.stderr, flush=True)
    saved, done = time.monotonic(), resume.epoch + 1 if resume else 0
    if done <= last:
        for state in progress(start(resume), total=last + 1, label=label, done=done):
            if time.monotonic() - saved >= project.scale.checkpoint_seconds and state.epoch < last:
                _save_checkpoint(checkpoint, state, identity, time.monotonic() - began)
                saved = time.monotonic()
    return state, time.monotonic() - began


def _finish(bundle: Bundle, files: dict[str, bytes], manifest: dict) -> None:
    """Write a job's result, and only then discard its checkpoints."""
    bundle.save(files, manifest)
    for file in [*bundle.folder.glob("checkpoint*"), *bundle.folder.glob(".*.tmp*")]:
        file.unlink()


def _resume(checkpoint: Bundle, identity: dict) -> tuple | None:
    """The state in a checkpoint, and the seconds it took; None if it is missing, damaged, or not of this run."""
    from luckmatters.experiments.history import Progress

    if not (checkpoint.folder / checkpoint.manifest_name).exists():
        return None
    try:
        manifest = checkpoint.manifest()
        content = checkpoint.read(str(manifest.get("file")))
    except UserError as error:
        print(f"checkpoint not used: {error}", file=sys.stderr, flush=True)
        return None
    same = all(manifest.get(key) == value for key, value in {**identity, "code": _code_digest()}.items())
    if not same or "seconds" not in manifest:
        print("checkpoint not used: it belongs to other settings, code or teachers", file=sys.stderr, flush=True)
        return None
    return Progress(manifest["epoch"], _unpack(content)), manifest["seconds"]


def _save_checkpoint(checkpoint: Bundle, state, identity: dict, seconds: float) -> None:
    """Write a state beside the older one, point the manifest to it, and drop the older one."""
    name = f"checkpoint-{state.epoch}.safetensors"
    manifest = {**identity, "epoch": state.epoch, "file": name, "code": _code_digest(), "seconds": seconds}
    checkpoint.save({name: _pack(state.tensors)}, manifest)
    for old in checkpoint.folder.glob("checkpoint-*.safetensors"):
        if old.name != name:
            old.unlink()


def _code_digest() -> str:
    """A digest of the science and experiment modules: a checkpoint of other code is not gone on from."""
    package = Path(__file__).parent
    sources = sorted([*package.glob("science/*.py"), *package.glob("experiments/*.py")])
    return artefacts.sha256(b"".join(source.read_bytes() for source in sources))


def _description(run: Run) -> dict:
    return run.model_dump(mode="json", include={"experiment", "variant", "scale", "kind", "settings", "teacher"})


def _pack(tensors: dict) -> bytes:
    from safetensors.torch import save

    # Compact copies: safetensors refuses tensors that share memory, as a snapshot and the current network may.
    return save({name: tensor.contiguous().clone() for name, tensor in tensors.items()})


def _unpack(content: bytes) -> dict:
    from safetensors.torch import load

    return load(content)


def _to_parquet(table, run: Run | None = None) -> bytes:
    if run:
        table.insert(0, "experiment", run.experiment)
        table.insert(1, "variant", run.variant)
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
