"""Entries of config/teachers.yaml, and how experiments choose a teacher."""

from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from luckmatters.science.shapes import fan_in, weight_shapes
from luckmatters.settings.base import Model, Name, Positive, Seeds
from luckmatters.settings.data import Cifar10Data, batches_fit, check_images
from luckmatters.settings.training import LabelTraining


class Pretraining(Model):
    """How a teacher is trained on labels.

    readout_scale: what the scales of the BatchNorm below the output layer start with, 1 if it is not said.
    """

    data: Cifar10Data
    training: LabelTraining
    readout_scale: Annotated[float, Field(gt=0)] | None = None


# Keys of a teacher that are shown and that no number depends on.
TEACHER_TEXTS = frozenset({"reduced", "published_accuracy"})


class Teacher(Model):
    """One entry of config/teachers.yaml; with a kernel, hidden layers are convolutions of that size.

    norm: where BatchNorm stands, after the ReLU (also if it is not said) or before it.
    """

    inputs: Positive | Annotated[list[Positive], Field(min_length=3, max_length=3)]
    kernel: Positive | None = None
    widths: Annotated[list[Positive], Field(min_length=1)]
    outputs: Positive
    init: Literal["separated", "no_sep", "pretrained"]
    batch_norm: bool = False
    norm: Literal["after", "before"] | None = None
    pretraining: Pretraining | None = None
    published_accuracy: Annotated[float, Field(gt=0, le=1)] | None = None
    count: Positive
    reduced: str | None = None  # what the scale in force changes; set by the loader

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a sample: (n,), or (channels, height, width)."""
        return (self.inputs,) if isinstance(self.inputs, int) else tuple(self.inputs)

    @model_validator(mode="after")
    def _layers_fit(self) -> "Teacher":
        if self.kernel and (len(self.shape) != 3 or self.shape[1] != self.shape[2]):
            raise ValueError(f"convolutions need square images, inputs: [channels, side, side], got {self.inputs}")
        shapes = weight_shapes(self.shape, [*self.widths, self.outputs], self.kernel)
        if self.init == "separated":
            for shape in shapes:
                if shape[0] > 5 ** fan_in(shape) - 1:
                    raise ValueError(
                        f"{shape[0]} separated nodes cannot all differ with {fan_in(shape)} inputs; use fewer"
                    )
        return self

    @model_validator(mode="after")
    def _pretraining_fits(self) -> "Teacher":
        if (self.init == "pretrained") != (self.pretraining is not None):
            raise ValueError("init pretrained and the key pretraining go together; give both or neither")
        if self.norm and not self.batch_norm:
            raise ValueError(f"norm {self.norm} needs batch_norm: true")
        if self.batch_norm and not self.pretraining:
            raise ValueError("batch_norm needs init pretrained: a random teacher has no running statistics")
        if self.pretraining:
            check_images(self.shape, self.outputs)
            data, training = self.pretraining.data, self.pretraining.training
            if self.pretraining.readout_scale and not self.batch_norm:
                raise ValueError("pretraining.readout_scale is of BatchNorm, which needs batch_norm: true")
            if training.precision and not self.kernel:
                raise ValueError(f"precision {training.precision} is for convolutions (kernel); drop it")
            batches_fit(data.samples_per_epoch, training.batch, batch_norm=self.batch_norm)
        return self


class TeacherChoice(Model):
    """Which teacher labels the data: one for all students (``seed: 0``), or student k's own (``seed: own``)."""

    name: Name
    seed: Annotated[int, Field(ge=0)] | Literal["own"]


class WithTeacher(Model):
    """What the settings of every kind have that reads a file of teachers."""

    teacher: TeacherChoice
    seeds: Seeds

    def check_teacher(self, teacher: Teacher) -> None:
        """Raises ValueError if that teacher does not fit."""
        if self.data.kind == "cifar10":
            check_images(teacher.shape, teacher.outputs)
