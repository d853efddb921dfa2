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

    identity: what a checkpoint must agree with;
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
    from luckmatters.tables.history import TrainingState

    if not (checkpoint.folder / checkpoint.manifest_name).exists():
        return None
    try:
        manifest = checkpoint.manifest()
        content = checkpoint.read(str(manifest.get("file")))
    except UserError as error:
        print(f"checkpoint not used: {error}", file=sys.stderr, flush=True)
        return None
    same = all(manifest.get(key) == value for key, value in identity.items())
    if not same or "seconds" not in manifest:
        print("checkpoint not used: it belongs to other settings, code or teachers", file=sys.stderr, flush=True)
        return None
    return TrainingState(manifest["epoch"], unpack(content)), manifest["seconds"]


def _save_checkpoint(checkpoint: Bundle, state, identity: dict, seconds: float) -> None:
    """Write a new state, point the manifest to the new file, then delete older states."""
    name = f"checkpoint-{state.epoch}.safetensors"
    manifest = {**identity, "epoch": state.epoch, "file": name, "seconds": seconds}
    checkpoint.save({name: pack(state.tensors)}, manifest)
    for old in checkpoint.folder.glob("checkpoint-*.safetensors"):
        if old.name != name:
            old.unlink()
