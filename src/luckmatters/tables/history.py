"""Training states, which a run yields epoch by epoch, and results of finished jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd
import torch
from torch import Tensor

from luckmatters.tables.files import under
from luckmatters.tables.rows import rows


class Stateful(Protocol):
    """An object that named tensors can restore: networks, a trainer with velocity, or dynamics."""

    def state(self) -> dict[str, Tensor]: ...


@dataclass
class TrainingState:
    """All results of a run up to an epoch, as named tensors from which the run can go on.

    epoch: the last epoch, −1 before the first measurement.
    tensors: ``network/*``, the current state of the trained networks; ``snapshot/<epoch>/*``, earlier states;
    ``history/*``, measurements, with a leading axis of the measured epochs (mostly 0 … epoch); ``fixed/*``, other
    tensors that stay.
    """

    epoch: int
    tensors: dict[str, Tensor]

    @classmethod
    def none(cls) -> "TrainingState":
        """The state before the first measurement."""
        return cls(-1, {})

    def network(self) -> dict[str, Tensor]:
        """The current state of the trained networks, by the names in their ``state()``."""
        return under(self.tensors, "network")

    def history(self) -> dict[str, Tensor]:
        """The measurements, by name, each with a leading axis of epochs."""
        return under(self.tensors, "history")

    def record(self, networks: Stateful, measured: dict[str, Tensor], *, snapshot: bool = False) -> "TrainingState":
        """The training state after another epoch; tensors of earlier snapshots are shared, not copied.

        networks: the trained networks or trainer; measured: measurements of the epoch, by name; snapshot: whether to
        keep the networks' state as a snapshot.
        """
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
    """The result of a finished job: a tidy table and named tensors."""

    table: pd.DataFrame
    tensors: dict[str, Tensor]


def diverged_by(history: dict[str, Tensor]) -> Tensor:
    """Whether each seed has diverged by each epoch, (T + 1, S), bool: the loss or a parameter is NaN or infinite.

    history: ``finite`` and ``loss``, both (T + 1, S).
    """
    return (~history["finite"] | ~history["loss"].isfinite()).cummax(0).values


def tidy(seeds: Sequence[int], layer: int | None, quantity: str, value: Tensor, diverged: Tensor) -> pd.DataFrame:
    """The table of a quantity by epoch and seed, NaN where the seed has diverged.

    layer: None for the whole network; value: (T + 1, S), or fewer epochs from epoch 0 on; diverged: (T + 1, S), bool.
    """
    return rows(
        quantity,
        value.double().masked_fill(diverged[: len(value)], torch.nan),
        layer,
        epoch=range(len(value)),
        seed=seeds,
    )
