"""Training runs of students, and what may be measured of them; several kinds share these settings."""

from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from luckmatters.settings.base import Model, Positive
from luckmatters.settings.data import Cifar10Data, GausData, batches_fit
from luckmatters.settings.teachers import Teacher, WithTeacher
from luckmatters.settings.training import Training


class Student(Model):
    """The teacher's shape with ``multiplier`` times the nodes in each hidden layer.

    norm_scale: BatchNorm's scales start uniform in [0, 1), as torch had them before version 1.2, or, without, at 1.
    """

    multiplier: Positive
    batch_norm: bool
    norm_scale: Literal["uniform"] | None = None

    @model_validator(mode="after")
    def _scales_of_norms(self) -> "Student":
        if self.norm_scale and not self.batch_norm:
            raise ValueError(f"norm_scale {self.norm_scale} is of BatchNorm, which needs batch_norm: true")
        return self


class StudentTraining(WithTeacher):
    """Settings of the kind ``student-training``: train students to a teacher and measure the overlap every epoch.

    target: what students learn from, the teacher's outputs (the default) or the labels of the images; the teacher then
    lends them its shape and is what their overlap is measured with.
    """

    student: Student
    data: Annotated[GausData | Cifar10Data, Field(discriminator="kind")]
    training: Training
    target: Literal["teacher", "labels"] | None = None

    @model_validator(mode="after")
    def _has_labels(self) -> "StudentTraining":
        if self.target == "labels" and self.data.kind != "cifar10":
            raise ValueError(f"target labels needs data with labels (kind cifar10), got kind {self.data.kind}")
        return self

    @model_validator(mode="after")
    def batches_fit(self) -> "StudentTraining":
        batches_fit(self.data.samples_per_epoch, self.training.batch, batch_norm=self.student.batch_norm)
        return self


class Measurement(Model):
    """What the settings of every measuring kind have: the finished training run that is measured."""

    measures: Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]

    def check_source(self, trained: StudentTraining, teacher: Teacher) -> None:
        """Raises ValueError if that run does not have what is measured."""


class GradientMeasurement(Measurement):
    """Settings of the kinds ``modulation`` and ``gradient-rule``; samples: evaluation samples that means are over."""

    samples: Annotated[int, Field(ge=2)]

    def check_source(self, trained: StudentTraining, teacher: Teacher) -> None:
        """Raises ValueError for BatchNorm and convolutions, and if there are fewer evaluation samples."""
        if trained.student.batch_norm or teacher.kernel:
            raise ValueError(
                f"measures: {self.measures} has BatchNorm or convolutions, for which the gradient rule is not stated; "
                "choose a fully connected run without"
            )
        if self.samples > trained.data.evaluation_samples:
            raise ValueError(
                f"samples: {self.samples} are more than the {trained.data.evaluation_samples} that {self.measures} is "
                "evaluated on; use fewer"
            )
