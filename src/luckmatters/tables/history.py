"""What a run that trains yields epoch by epoch, and what it leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd
import torch
from torch import Tensor

from luckmatters.tables.rows import rows


class Stateful(Protocol):
    """What goes on from its named tensors: networks, a trainer with its velocity, or dynamics."""

    def state(self) -> dict[str, Tensor]: ...


@dataclass
class TrainingState:
    """All that a run has produced up to an epoch: enough to go on from, as named tensors.

    Keys: ``network/*`` (the current state of what is trained), ``snapshot/<epoch>/*``, ``fixed/*`` (whatever else is to
    stay), and ``history/*``, what was measured, with a leading axis of the epochs at which it was (mostly 0 … epoch).
    """

    epoch: int
    tensors: dict[str, Tensor]

    @classmethod
    def none(cls) -> "TrainingState":
        """Before the first measurement."""
        return cls(-1, {})

    def network(self) -> dict[str, Tensor]:
        """The current state of what is trained, by the names in its ``state()``."""
        return under(self.tensors, "network")

    def history(self) -> dict[str, Tensor]:
        """What was measured, by name."""
        return under(self.tensors, "history")

    def record(self, networks: Stateful, measured: dict[str, Tensor], *, snapshot: bool = False) -> "TrainingState":
        """The state one epoch later; the tensors of earlier epochs are shared, not copied."""
        epoch, past = self.epoch + 1, self.history()
        tensors = {key: value for key, value in self.tensors.items() if not key.startswith("network/")}
        for name, value in measured.items():
            value = value.cpu()[None]
            tensors[f"history/{name}"] = torch.cat([past[name], value]) if name in past else value
        network = networks.state()
        tensors |= {f"network/{name}": value for name, value in network.items()}
        if snapshot:
            tensors |= {f"snapshot/{epoch}/{name}": value for name, value in network.items()}
        return TrainingState(epoch, tensors)


@dataclass(frozen=True)
class Result:
    """What a finished job leaves: a tidy table and named tensors."""

    table: pd.DataFrame
    tensors: dict[str, Tensor]


def diverged_by(history: dict[str, Tensor]) -> Tensor:
    """Which seeds had diverged (loss or a parameter NaN or infinite) at each epoch, (T + 1, S), bool."""
    return (~history["finite"] | ~history["loss"].isfinite()).cummax(0).values


def tidy(seeds: Sequence[int], layer: int | None, quantity: str, value: Tensor, diverged: Tensor) -> pd.DataFrame:
    """Rows of a quantity (T + 1, S), or of the first epochs alone, NaN where the seed has diverged."""
    return rows(
        quantity,
        value.double().masked_fill(diverged[: len(value)], torch.nan),
        layer,
        epoch=range(len(value)),
        seed=seeds,
    )


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below a name, by the rest of their names."""
    return {key.removeprefix(f"{prefix}/"): value for key, value in tensors.items() if key.startswith(f"{prefix}/")}
