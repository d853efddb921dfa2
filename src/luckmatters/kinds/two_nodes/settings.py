"""Kind ``two-nodes``: what its YAML may say."""

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.base import Positive
from luckmatters.settings.simulation import Simulation


class TwoNodes(Simulation):
    """Settings of the kind ``two-nodes``: two student nodes, each of which follows its teacher node.

    inputs, outputs: of the network; replicas: pairs of students a seed, with the same teacher and samples; levels: of
    the cosine with the teacher node, whose passing is timed.
    """

    inputs: Annotated[int, Field(ge=2)]
    outputs: Annotated[int, Field(ge=2)]
    replicas: Positive
    gradient: Literal["matrix", "accurate"]
    levels: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)]


KIND = Kind(
    TwoNodes,
    verb="simulate",
    layouts={
        "two-nodes": Layout(),
    },
)
