"""How networks are trained."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from luckmatters.settings.base import Model, Positive


class Rate(Model):
    """One step of a learning-rate schedule."""

    epoch: int = Field(ge=0, description="The epoch from which on the rate holds; 0 for the first.")
    rate: float = Field(gt=0, description="The learning rate.")


def _in_order(schedule: list[Rate]) -> list[Rate]:
    epochs = [step.epoch for step in schedule]
    if epochs[0] != 0 or epochs != sorted(set(epochs)):
        raise ValueError(f"a schedule starts at epoch 0 and its epochs increase, got epochs {epochs}")
    return schedule


class Training(Model):
    """Plain SGD."""

    epochs: Positive = Field(description="Number of epochs.")
    batch: int = Field(ge=2, description="Number of samples in a step.")
    learning_rate: Annotated[list[Rate], Field(min_length=1), AfterValidator(_in_order)] = Field(
        description="The schedule: rates in the order of their epochs, the first from epoch 0 on."
    )
    snapshots: list[Annotated[int, Field(ge=0)]] = Field(
        description="Epochs after which networks are kept. The initial and the final networks are kept in any case."
    )

    @model_validator(mode="after")
    def _within_the_run(self) -> "Training":
        for epoch in [*self.snapshots, *(step.epoch for step in self.learning_rate)]:
            if epoch > self.epochs:
                raise ValueError(f"epoch {epoch} lies after the last one, {self.epochs}")
        return self


class StudentSGD(Training):
    """SGD of students; plain without the optional key."""

    normalize: Literal["fan-in"] | None = Field(
        None,
        description="`fan-in`: after every step, weights and bias of every node, outputs included, are divided by the "
        "L2 norm of the node's weights, as in random teachers. Without this key, weights stay as they are.",
    )


class LabelTraining(Training):
    """SGD for training on labels; plain without the optional keys."""

    momentum: Annotated[float, Field(gt=0, lt=1)] | None = Field(None, description="Momentum, as in torch.optim.SGD.")
    weight_decay: Annotated[float, Field(gt=0)] | None = Field(None, description="Weight decay, as in torch.optim.SGD.")
    precision: Literal["bfloat16"] | None = Field(
        None, description="Number format of convolutions and their BatchNorm. Without this key, float32 as all else."
    )
    annealing: Literal["cosine"] | None = Field(
        None, description="Scheduled rates fall to nearly 0 by half a cosine, as in torch's CosineAnnealingLR."
    )
