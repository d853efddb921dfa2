"""Kind ``node-removal``: the settings, the verb and the layouts of figures."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from luckmatters.kinds import Kind, Layout
from luckmatters.science.shapes import scaled
from luckmatters.settings.base import Positive
from luckmatters.settings.students import Measurement, StudentTraining
from luckmatters.settings.teachers import Teacher


class NodeRemoval(Measurement):
    """Settings of the kind ``node-removal``: remove nodes of trained students; what is left keeps its weights."""

    epochs: list[Positive] = Field(
        min_length=1,
        description="Epochs after which nodes are removed: the last epoch, or epochs that the training run lists in "
        "`snapshots`.",
    )
    criteria: list[Literal["fan-out", "contribution", "overlap", "random"]] = Field(
        min_length=1, description="The rankings by which nodes are kept, layer by layer."
    )
    kept: list[Annotated[float, Field(gt=0)]] = Field(
        min_length=1, description="How many nodes are kept, in multiples of the teacher's hidden widths."
    )
    fine_tuning: Positive = Field(
        description="Number of steps of fine-tuning, on new samples, at the training run's last learning rate."
    )

    @model_validator(mode="after")
    def _each_once(self) -> "NodeRemoval":
        for key in ("epochs", "criteria", "kept"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"{key}: each may stand but once, got {', '.join(map(str, values))}")
        return self

    def check_source(self, trained: StudentTraining, teacher: Teacher) -> None:
        """Raises ValueError if the training run lacks a snapshot, a size or enough steps."""
        if missing := set(self.epochs) - {*trained.training.snapshots, trained.training.epochs}:
            raise ValueError(f"epochs: {self.source} keeps no epoch {min(missing)}; add it to training.snapshots there")
        multiplier = trained.student.multiplier
        if max(self.kept) >= multiplier or min(scaled(teacher.widths, min(self.kept))) < 1:
            raise ValueError(
                f"kept: must leave a node in each layer and be below {multiplier}, the multiplier of {self.source}"
            )
        steps = math.ceil(trained.data.samples_per_epoch / trained.training.batch)
        if self.fine_tuning > steps:
            raise ValueError(f"fine_tuning: {self.fine_tuning} steps are more than the {steps} of an epoch; use fewer")


KIND = Kind(NodeRemoval, verb="measure", layouts={"node-removal": Layout(single=True)})
