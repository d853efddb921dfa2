"""Kind ``fan-out``: what its YAML may say."""

import itertools
from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.base import Name, Positive
from luckmatters.settings.simulation import Simulation


class FanOut(Simulation):
    """Settings of the kind ``fan-out``: the matrix dynamics of students that start near their teacher.

    widths: nodes of all layers of the teacher, inputs and outputs included; multiplier: a student has that many times
    as many hidden ones; starts: for each layer, lowest first, the share of the teacher's columns in the first ones;
    gradient: the matrix form, or accurate, the mean of every sample's own; snapshots: epochs whose every node is kept.
    """

    widths: Annotated[list[Positive], Field(min_length=3)]
    multiplier: Annotated[int, Field(ge=2)]  # with 1 there would be no unmatched nodes
    starts: Annotated[dict[Name, list[Annotated[float, Field(ge=0)]]], Field(min_length=1)]
    bias: Annotated[float, Field(ge=0)]
    gradient: Literal["matrix", "accurate"]
    snapshots: list[Annotated[int, Field(ge=0)]]

    @model_validator(mode="after")
    def _layers_fit(self) -> "FanOut":
        for n_in, n_out in itertools.pairwise(self.widths):
            if n_out > 5**n_in - 1:
                raise ValueError(f"{n_out} separated nodes cannot all differ with {n_in} inputs; use fewer")
        for name, shares in self.starts.items():
            if len(shares) != len(self.widths) - 1:
                raise ValueError(
                    f"start {name} must have a share for each of the {len(self.widths) - 1} layers, got {len(shares)}"
                )
        for epoch in self.snapshots:
            if epoch > self.epochs:
                raise ValueError(f"snapshots: epoch {epoch} lies after the last one, {self.epochs}")
        return self


KIND = Kind(
    FanOut,
    verb="simulate",
    layouts={
        "fan-out": Layout(options=("rows",), tensors=True),
    },
)
