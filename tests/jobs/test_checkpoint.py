"""A job goes on from a checkpoint that is whole, and starts anew from any other."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from luckmatters.artefacts import Bundle
from luckmatters.jobs.checkpoint import advance
from luckmatters.tables.files import pack, unpack
from luckmatters.tables.history import TrainingState

LAST, SEEDS = 4, [0, 1]
IDENTITY = {"seeds": SEEDS, "sources": "a digest"}


class Counter:
    """A network a seed, which counts epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def state(self) -> dict[str, Tensor]:
        return {"layer.0.weight": torch.full((len(SEEDS), 3), float(self.epochs))}


def counted(resume: TrainingState | None) -> Iterator[TrainingState]:
    state = resume or TrainingState.none()
    while state.epoch < LAST:
        state = state.record(Counter(state.epoch + 1), {"loss": torch.zeros(len(SEEDS))})
        yield state


def run(folder: Path, start=counted, identity: dict = IDENTITY) -> TrainingState:
    project = SimpleNamespace(scale=SimpleNamespace(checkpoint_seconds=0))
    return advance(project, Bundle(folder), identity, start, LAST, "job")[0]


@pytest.fixture
def interrupted(tmp_path: Path) -> Bundle:
    """The checkpoint of a job that was killed in epoch 3."""

    def killed(resume: TrainingState | None) -> Iterator[TrainingState]:
        for state in counted(resume):
            if state.epoch == 3:
                raise KeyboardInterrupt
            yield state

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, killed)
    return Bundle(tmp_path, "checkpoint.json")


def test_a_whole_checkpoint_is_resumed_and_holds_the_state_alone(interrupted: Bundle, capsys) -> None:
    state = run(interrupted.folder)
    assert "job: resuming after epoch 2" in capsys.readouterr().err
    assert (state.epoch, len(state.history()["loss"])) == (LAST, LAST + 1)
    assert state.tensors.keys() == {"network/layer.0.weight", "history/loss"}


def started_anew(interrupted: Bundle, capsys: pytest.CaptureFixture, identity: dict = IDENTITY) -> str:
    """The one line in which a job says that the checkpoint is not used; fails if an epoch is lost."""
    state = run(interrupted.folder, identity=identity)
    assert len(state.history()["loss"]) == LAST + 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("checkpoint not used: ")
    return line


def test_an_epoch_with_a_flipped_bit_is_not_resumed(interrupted: Bundle, capsys) -> None:
    path = interrupted.folder / "checkpoint.json"
    path.write_text(path.read_text().replace('"epoch": 2', '"epoch": 3'))
    assert "checkpoint.json: is damaged" in started_anew(interrupted, capsys)


@pytest.mark.parametrize(
    "changes",
    [{"epoch": 3}, {"epoch": -5}, {"epoch": "2"}, {"epoch": None}, {"seconds": None}, {"seconds": [1]}],
)
def test_a_sound_manifest_that_is_not_the_states_is_not_resumed(interrupted: Bundle, changes: dict, capsys) -> None:
    manifest = interrupted.manifest()
    interrupted.save({manifest["file"]: interrupted.read(manifest["file"])}, {**manifest, **changes})
    assert "checkpoint.json: differs from the state that it describes; starting" in started_anew(interrupted, capsys)


@pytest.mark.parametrize("key", ["epoch", "seconds", "file", "seeds", "sources"])
def test_a_manifest_that_lacks_a_key_is_not_resumed(interrupted: Bundle, key: str, capsys) -> None:
    manifest = interrupted.manifest()
    content = interrupted.read(manifest["file"])
    interrupted.save({manifest["file"]: content}, {name: value for name, value in manifest.items() if name != key})
    started_anew(interrupted, capsys)


@pytest.mark.parametrize("fault", [b"", b"no tensors", "epoch", "network/layer.0.weight"])
def test_a_state_that_lacks_something_is_not_resumed(interrupted: Bundle, fault: bytes | str, capsys) -> None:
    manifest = interrupted.manifest()
    if isinstance(fault, str):
        tensors = unpack(interrupted.read(manifest["file"]))
        del tensors[fault]
        fault = pack(tensors)
    interrupted.save({manifest["file"]: fault}, manifest)
    assert "differs from the state that it describes" in started_anew(interrupted, capsys)


def test_a_state_of_another_number_of_seeds_is_not_resumed(interrupted: Bundle, capsys) -> None:
    manifest, three = interrupted.manifest(), {**IDENTITY, "seeds": [0, 1, 2]}
    interrupted.save({manifest["file"]: interrupted.read(manifest["file"])}, {**manifest, **three})
    assert "differs from the state that it describes" in started_anew(interrupted, capsys, three)


@pytest.mark.parametrize("changes", [{"seeds": [1, 2]}, {"sources": "another digest"}])
def test_a_checkpoint_of_other_seeds_or_code_is_not_resumed(interrupted: Bundle, changes: dict, capsys) -> None:
    assert "it belongs to other settings, code" in started_anew(interrupted, capsys, {**IDENTITY, **changes})
