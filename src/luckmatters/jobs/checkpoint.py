"""Checkpoints: a job that was killed goes on where it was."""

import sys
import time
from collections.abc import Callable, Iterator

from luckmatters.artefacts import Bundle
from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.progress import progress
from luckmatters.tables.files import pack, unpack


def advance(
    project: Project, bundle: Bundle, identity: dict, start: Callable[..., Iterator], last: int, label: str
) -> tuple:
    """Run a job to the last state, from a fitting checkpoint if there is one; the state and the seconds taken.

    identity: what a checkpoint must agree with, the seeds among it;
    start: given a state, yields the states after it; given None, yields all states, the untrained state first;
    last: epoch of the last state.
    The seconds add up over interrupted runs, without the work that a kill undid.
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


def finish_job(bundle: Bundle, files: dict[str, bytes], manifest: dict) -> None:
    """Write a job's result, then delete the checkpoints."""
    bundle.save(files, manifest)
    for file in [*bundle.folder.glob("checkpoint*"), *bundle.folder.glob(".*.tmp*")]:
        file.unlink()


def _resume(checkpoint: Bundle, identity: dict) -> tuple | None:
    """State and seconds in a checkpoint; None if the checkpoint is missing, damaged, or of another run."""
    path = checkpoint.folder / checkpoint.manifest_name
    if not path.exists():
        return None
    try:
        manifest = checkpoint.manifest()
        content = checkpoint.read(str(manifest.get("file")))
        if any(manifest.get(key) != value for key, value in identity.items()):
            raise UserError("it belongs to other settings, code or teachers")
        if not (found := _state(manifest, content)):
            raise UserError(f"{path}: differs from the state that it describes")
        return found
    except UserError as error:
        print(f"checkpoint not used: {error}; starting anew", file=sys.stderr, flush=True)
        return None


def _state(manifest: dict, content: bytes) -> tuple | None:
    """State and seconds in a checkpoint; None unless the state has the epoch and the seeds that the manifest names."""
    from safetensors import SafetensorError

    from luckmatters.tables.history import TrainingState

    try:
        tensors = unpack(content)
        state, seeds = TrainingState(int(tensors.pop("epoch")), tensors), len(manifest["seeds"])
        # A seed may have several networks, in a row.
        whole = {len(tensor) % seeds for tensor in state.network().values()} == {0}
        return (state, float(manifest["seconds"])) if whole and manifest["epoch"] == state.epoch else None
    except (SafetensorError, KeyError, TypeError, ValueError):
        return None


def _save_checkpoint(checkpoint: Bundle, state, identity: dict, seconds: float) -> None:
    """Write a new state, point the manifest to the new file, then delete older states."""
    import torch

    name = f"checkpoint-{state.epoch}.safetensors"
    manifest = {**identity, "epoch": state.epoch, "file": name, "seconds": seconds}
    checkpoint.save({name: pack({**state.tensors, "epoch": torch.tensor(state.epoch)})}, manifest)
    for old in checkpoint.folder.glob("checkpoint-*.safetensors"):
        if old.name != name:
            old.unlink()
