"""Kind ``luck-speed``: the settings, the verb and the layouts of figures."""

from typing import Annotated

from pydantic import Field, model_validator

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.base import Positive
from luckmatters.settings.students import HINDSIGHT, StudentTraining


class LuckSpeed(StudentTraining):
    """Settings of the kind ``luck-speed``: student training that follows every student node."""

    measurements: int = Field(
        ge=2, description="Moments that are measured besides the epochs, evenly in the logarithm of the step."
    )
    first_step: Positive = Field(description="The step of the first moment; the last moment is the end of training.")
    levels: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        min_length=1, description="Levels of ρ; the time when a student passes each of them is measured."
    )
    negligible: float = Field(
        gt=0,
        lt=1,
        description="Share of the layer's greatest contribution below which a student does not count.",
    )

    @model_validator(mode="after")
    def _what_is_followed(self) -> "LuckSpeed":
        if self.target == "labels" or self.training.snapshots or self.fitted:
            raise ValueError(
                "kind luck-speed learns from the teacher and keeps no snapshots on the way; drop target, snapshots and "
                "fitted"
            )
        return self


KIND = Kind(
    LuckSpeed,
    verb="train",
    measurable=True,
    # The fate of a student node: the teacher node that it ends on, and when it came close to that teacher node.
    hindsight=(*HINDSIGHT, "initial_overlap", "final_overlap", "initial_rank", "margin", "time_*"),
    layouts={
        "luck-speed": Layout(single=True),
    },
)
