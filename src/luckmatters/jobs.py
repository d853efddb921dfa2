"""One function a verb of the command line: read what the step needs, compute, write its artefacts whole."""

import io
import sys
import time
from pathlib import Path

from luckmatters import artefacts
from luckmatters.artefacts import TABLE, TENSORS, Bundle
from luckmatters.config import Project, Run
from luckmatters.config.files import choose
from luckmatters.config.load import config_hash
from luckmatters.errors import UserError
from luckmatters.progress import progress
from luckmatters.provenance import provenance

TRAIN_RULE, MEASURE_RULE, TEACHER_RULE = "train_students", "measure_students", "generate_teacher"


def teacher_bundle(project: Project, name: str) -> Bundle:
    """Where a teacher lies."""
    return Bundle(artefacts.teacher_folder(project.results, name), TEACHER_RULE)


def run_bundle(project: Project, run: Run, seeds: list[int]) -> Bundle:
    """Where a job of a run leaves its result."""
    folder = artefacts.run_folder(project.results, run.experiment, run.variant, artefacts.seed_label(seeds))
    return Bundle(folder, TRAIN_RULE if run.kind == "student-training" else MEASURE_RULE)


def finished_bundle(project: Project, run: Run, seeds: list[int]) -> Bundle:
    """The same for a finished job. Raises UserError if it is missing or was made with other settings."""
    bundle = run_bundle(project, run, seeds)
    if bundle.manifest().get("config_hash") != config_hash(run):
        raise UserError(
            f"{bundle.folder}: was made with other settings than config/ has; let snakemake rerun rule {bundle.rule}"
        )
    return bundle


def generate_teacher(project: Project, name: str) -> None:
    """Draw all teachers of an entry of config/teachers.yaml."""
    spec = project.teachers[choose(name, project.teachers, "teacher")]
    from luckmatters.science.teachers import draw_teachers

    networks = draw_teachers(spec.inputs, [*spec.widths, spec.outputs], init=spec.init, seeds=range(spec.count))
    manifest = {"teacher": name, "settings": spec.model_dump(mode="json"), **provenance()}
    teacher_bundle(project, name).save({TENSORS: _pack(networks.state())}, manifest)


def train(project: Project, experiment: str, variant: str, seeds: list[int]) -> None:
    """Train one variant for some seeds; resumes from its own checkpoint if it was killed before."""
    run = _own(project, experiment, variant, seeds, "student-training")
    device = project.settings.device
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda is asked for, but this machine has none that torch can use; set device to cpu")
    from luckmatters.experiments import student_training

    torch.backends.cuda.matmul.allow_tf32 = False
    began, teachers, teacher_sums = time.monotonic(), *_teachers(project, run, device)
    bundle = run_bundle(project, run, seeds)
    identity = {
        "config_hash": config_hash(run), "seeds": seeds, "device": device, "inputs": teacher_sums,
    }  # fmt: skip
    checkpoint = Bundle(bundle.folder, bundle.rule, "checkpoint.json")
    state = _resume(checkpoint, identity)
    label = f"{experiment}/{variant} seeds {artefacts.seed_label(seeds)}"
    if state:
        print(f"{label}: resuming after epoch {state.epoch}", file=sys.stderr, flush=True)
    epochs, saved = run.settings.training.epochs, time.monotonic()
    done = state.epoch + 1 if state else 0
    if done <= epochs:
        states = student_training.train(run, teachers, seeds, device=device, resume=state)
        for state in progress(states, total=epochs + 1, label=label, done=done):
            if time.monotonic() - saved >= project.scale.checkpoint_seconds and state.epoch < epochs:
                _save_checkpoint(checkpoint, state, identity)
                saved = time.monotonic()
    result = student_training.finish(run, seeds, state)
    diverged = result.table.query("quantity == 'diverged' and value == 1").groupby("seed")["epoch"].min()
    for seed, epoch in diverged.items():
        print(f"{label}: seed {seed} diverged at epoch {epoch}", file=sys.stderr, flush=True)
    manifest = {
        **_description(run), **identity, "diverged": {str(s): int(e) for s, e in diverged.items()},
        "data": _gaus_description(run), "seconds": round(time.monotonic() - began, 1), **provenance(),
    }  # fmt: skip
    bundle.save({TABLE: _to_parquet(run, result.table), TENSORS: _pack(result.tensors)}, manifest)
    _discard_checkpoint(checkpoint)


def measure(project: Project, experiment: str, variant: str, seeds: list[int]) -> None:
    """Measure what another experiment's training run has left."""
    run = _own(project, experiment, variant, seeds, "rank-profile")
    source = project.run(run.source, variant)
    from luckmatters.experiments.rank_profile import profile

    trained = finished_bundle(project, source, seeds)
    tensors, (teachers, sums) = _unpack(trained.read(TENSORS)), _teachers(project, source, "cpu")
    table = profile(source, run.settings.students, teachers, tensors, seeds)
    manifest = {
        **_description(run), "config_hash": config_hash(run), "seeds": seeds, "device": "cpu",
        "data": _gaus_description(source), "diverged": trained.manifest()["diverged"],
        "inputs": {**sums, **trained.manifest()["files"]}, **provenance(),
    }  # fmt: skip
    run_bundle(project, run, seeds).save({TABLE: _to_parquet(run, table)}, manifest)


# --- parts -----------------------------------------------------------------------------------------------------------


def _own(project: Project, experiment: str, variant: str, seeds: list[int], kind: str) -> Run:
    """The run that a command names, if its kind and its seeds fit."""
    run = project.run(experiment, variant)
    if run.kind != kind:
        raise UserError(f"experiment {experiment} is of kind {run.kind}, this verb is for {kind}")
    if missing := set(seeds) - set(run.seeds):
        raise UserError(
            f"--seeds: {experiment}/{variant} at scale {project.scale_name} has seeds "
            f"{artefacts.seed_label(run.seeds)}, not {artefacts.seed_label(sorted(missing))}"
        )
    return run


def _teachers(project: Project, run: Run, device: str) -> tuple:
    """The networks of a run's teacher file, on a device, and the file's checksum."""
    from luckmatters.science.networks import FullyConnected

    name = run.settings.teacher.name
    bundle = teacher_bundle(project, name)
    content = bundle.read(TENSORS)
    return FullyConnected.from_state(_unpack(content), device=device), {f"teachers/{name}": artefacts.sha256(content)}


def _resume(checkpoint: Bundle, identity: dict):
    """The state in a checkpoint, or None if there is none, it is damaged, or it belongs to other settings."""
    from luckmatters.experiments.student_training import Progress

    if not (checkpoint.folder / checkpoint.manifest_name).exists():
        return None
    try:
        manifest = checkpoint.manifest()
        content = checkpoint.read(str(manifest.get("file")))
    except UserError as error:
        print(f"checkpoint not used: {error}", file=sys.stderr, flush=True)
        return None
    if any(manifest.get(key) != value for key, value in {**identity, "code": _code_digest()}.items()):
        print("checkpoint not used: it belongs to other settings, code or teachers", file=sys.stderr, flush=True)
        return None
    return Progress(manifest["epoch"], _unpack(content))


def _save_checkpoint(checkpoint: Bundle, state, identity: dict) -> None:
    """Write a state beside the older one, point the manifest to it, and drop the older one."""
    name = f"checkpoint-{state.epoch}.safetensors"
    manifest = {**identity, "epoch": state.epoch, "file": name, "code": _code_digest()}
    checkpoint.save({name: _pack(state.tensors)}, manifest)
    for old in checkpoint.folder.glob("checkpoint-*.safetensors"):
        if old.name != name:
            old.unlink()


def _discard_checkpoint(checkpoint: Bundle) -> None:
    for file in [*checkpoint.folder.glob("checkpoint*"), *checkpoint.folder.glob(".*.tmp*")]:
        file.unlink()


def _code_digest() -> str:
    """A digest of the science and experiment modules: a checkpoint of other code is not gone on from."""
    package = Path(__file__).parent
    sources = sorted([*package.glob("science/*.py"), *package.glob("experiments/*.py")])
    return artefacts.sha256(b"".join(source.read_bytes() for source in sources))


def _description(run: Run) -> dict:
    return run.model_dump(mode="json", include={"experiment", "variant", "scale", "kind", "settings", "teacher"})


def _gaus_description(run: Run) -> str:
    data = run.settings.data
    kind = "new samples every epoch" if data.infinite else "one set, reused"
    return f"GAUS, x ~ N(0, {data.std:g}² I), {data.samples_per_epoch:,} samples an epoch, {kind}; generated"


def _pack(tensors: dict) -> bytes:
    from safetensors.torch import save

    # Compact copies: safetensors refuses tensors that share memory, as a snapshot and the current network may.
    return save({name: tensor.contiguous().clone() for name, tensor in tensors.items()})


def _unpack(content: bytes) -> dict:
    from safetensors.torch import load

    return load(content)


def _to_parquet(run: Run, table) -> bytes:
    table.insert(0, "experiment", run.experiment)
    table.insert(1, "variant", run.variant)
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
