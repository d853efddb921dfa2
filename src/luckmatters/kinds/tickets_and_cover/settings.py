"""Kind ``tickets-and-cover``: the settings, the verb and the layout of figures."""

from typing import Annotated

from pydantic import Field

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.base import Positive
from luckmatters.settings.students import Measurement

Share = Annotated[float, Field(gt=0, lt=1)]


class TicketsAndCover(Measurement):
    """Settings of the kind ``tickets-and-cover``: best initial overlaps, and teacher nodes that are found."""

    level: Share = Field(description="A student node with ρ above it is close to a teacher node.")
    negligible: Share = Field(
        description="Share of the layer's greatest contribution below which a student node does not count."
    )
    pool: Positive = Field(
        description="Random student nodes for each teacher node of a layer; the best overlap is predicted from them."
    )


KIND = Kind(
    TicketsAndCover,
    verb="measure",
    layouts={
        "tickets-and-cover": Layout(),
    },
)
