"""Kind ``luck-speed``: what its YAML may say."""

from typing import Annotated

from pydantic import (
    Field,
    model_validator,
)

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.base import Positive
from luckmatters.settings.students import StudentTraining


class LuckSpeed(StudentTraining):
    """Settings of the kind ``luck-speed``: student training that follows every student node.

    measurements: how many moments after the first are measured, evenly in the logarithm of the step, from first_step to
    the end, besides those at whole epochs; levels: of ρ, whose passing is timed; negligible: below this share of its
    layer's greatest, a student's contribution does not count.
    """

    measurements: Annotated[int, Field(ge=2)]
    first_step: Positive
    levels: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)]
    negligible: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _what_is_followed(self) -> "LuckSpeed":
        if self.target == "labels" or self.training.snapshots:
            raise ValueError(
                "kind luck-speed learns from the teacher and keeps no snapshots; drop target and snapshots"
            )
        return self


KIND = Kind(
    LuckSpeed,
    verb="train",
    layouts={
        "luck-speed": Layout(single=True),
    },
)
