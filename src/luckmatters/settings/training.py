"""How networks are trained."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from luckmatters.settings.base import Model, Positive


class Rate(Model):
    """From this epoch on, this learning rate."""

    epoch: Annotated[int, Field(ge=0)]
    rate: Annotated[float, Field(gt=0)]


def _in_order(schedule: list[Rate]) -> list[Rate]:
    epochs = [step.epoch for step in schedule]
    if epochs[0] != 0 or epochs != sorted(set(epochs)):
        raise ValueError(f"a schedule starts at epoch 0 and its epochs increase, got epochs {epochs}")
    return schedule


class Training(Model):
    """SGD, which is plain unless more is said (by :class:`LabelTraining`)."""

    epochs: Positive
    batch: Annotated[int, Field(ge=2)]
    learning_rate: Annotated[list[Rate], Field(min_length=1), AfterValidator(_in_order)]
    snapshots: list[Annotated[int, Field(ge=0)]]

    @model_validator(mode="after")
    def _within_the_run(self) -> "Training":
        for epoch in [*self.snapshots, *(step.epoch for step in self.learning_rate)]:
            if epoch > self.epochs:
                raise ValueError(f"epoch {epoch} lies after the last one, {self.epochs}")
        return self


class LabelTraining(Training):
    """SGD with momentum and weight decay, as torch.optim.SGD has them; plain without.

    precision: of convolutions and the BatchNorm behind them, float32 if it is not said; parameters, velocity, linear
    layers and evaluation keep float32. annealing: the scheduled rates fall to nearly zero by half a cosine, epoch by
    epoch, as torch.optim.lr_scheduler.CosineAnnealingLR has it.
    """

    momentum: Annotated[float, Field(gt=0, lt=1)] | None = None
    weight_decay: Annotated[float, Field(gt=0)] | None = None
    precision: Literal["bfloat16"] | None = None
    annealing: Literal["cosine"] | None = None
