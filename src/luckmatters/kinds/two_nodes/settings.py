"""Kind ``two-nodes``: the settings, the verb and the layouts of figures."""

from typing import Annotated, Literal

from pydantic import Field

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.base import Positive
from luckmatters.settings.simulation import Simulation


class TwoNodes(Simulation):
    """Settings of the kind ``two-nodes``: two student nodes, each of which follows its teacher node (Section 4)."""

    inputs: int = Field(ge=2, description="Number of inputs.")
    outputs: int = Field(ge=2, description="Number of outputs.")
    replicas: Positive = Field(description="Pairs of student nodes for each seed, with the same teacher and samples.")
    gradient: Literal["matrix", "accurate"] = Field(
        description="Products of averages (the matrix form of the paper), or `accurate`: averages of products."
    )
    levels: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        min_length=1, description="Levels of the cosine with the teacher node; the time of passing each is measured."
    )


KIND = Kind(
    TwoNodes,
    verb="simulate",
    layouts={
        "two-nodes": Layout(),
    },
)
