"""Kind ``fan-out``: the settings, the verb and the layouts of figures."""

import itertools
from typing import Annotated, Literal

from pydantic import Field, model_validator

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.base import Name, Positive
from luckmatters.settings.simulation import Simulation


class FanOut(Simulation):
    """Settings of the kind ``fan-out``: the matrix dynamics of students that start near their teacher."""

    widths: list[Positive] = Field(
        min_length=3, description="Nodes of every layer of the teacher, lowest first, with inputs and outputs."
    )
    multiplier: int = Field(
        ge=2, description="Hidden nodes of a student for each node of the teacher. With 1, all nodes would be matched."
    )
    starts: dict[Name, list[Annotated[float, Field(ge=0)]]] = Field(
        min_length=1,
        description="Starts by name. Of each layer, lowest first: the share of the teacher's columns "
        "in the student's first columns.",
    )
    bias: float = Field(
        ge=0, description="Every bias of the teacher is minus this number, before columns are normalized."
    )
    gradient: Literal["matrix", "accurate"] = Field(
        description="Products of averages (the matrix form of the paper), or `accurate`: averages of products."
    )
    snapshots: list[Annotated[int, Field(ge=0)]] = Field(
        description="Epochs after which the fan-out norm of every node is kept; 0 is before training."
    )

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
