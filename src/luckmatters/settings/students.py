"""Training runs of students, and what may be measured of them; several kinds share these settings."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from luckmatters.settings.base import Model, Positive, RunName
from luckmatters.settings.data import Cifar10Data, GausData, batches_fit
from luckmatters.settings.teachers import Teacher, WithTeacher
from luckmatters.settings.training import StudentSGD

# Quantities of the overlap that follow the student nodes that are best at the end of training.
HINDSIGHT = ("mean_rank", "median_rank", "mean_rank_192")


class Student(Model):
    """A student network, which has the teacher's inputs, number of layers and outputs, but other numbers of nodes."""

    multiplier: Positive | None = Field(
        None, description="Hidden nodes of a student for each node of the teacher (paper: m); this key or `widths`."
    )
    widths: Annotated[list[Positive], Field(min_length=1)] | None = Field(
        None, description="Nodes or channels of each hidden layer, lowest first, whatever the teacher has."
    )
    batch_norm: bool = Field(description="Whether hidden layers have BatchNorm.")
    norm_scale: Literal["uniform"] | None = Field(
        None, description="Initial scales of BatchNorm: uniform in [0, 1), as in torch before 1.2. Without this key, 1."
    )
    starts: Positive | None = Field(
        None,
        description="Number of different initial weights: the student of seed s has those of seed s modulo this "
        "number, and the samples of seed s. Without this key, every seed has its own initial weights.",
    )

    @model_validator(mode="after")
    def _has_a_size(self) -> "Student":
        if (self.multiplier is None) == (self.widths is None):
            raise ValueError("the size of a student is its multiplier or its widths; give one of them")
        return self

    @model_validator(mode="after")
    def _scales_of_norms(self) -> "Student":
        if self.norm_scale and not self.batch_norm:
            raise ValueError(f"norm_scale {self.norm_scale} is of BatchNorm, which needs batch_norm: true")
        return self


class StudentTraining(WithTeacher):
    """Settings of the kind ``student-training``: train students to a teacher and measure the overlap every epoch."""

    student: Student = Field(description="The student networks.")
    data: GausData | Cifar10Data = Field(discriminator="kind", description="The samples.")
    training: StudentSGD = Field(description="How students are trained.")
    target: Literal["teacher", "labels"] | None = Field(
        None, description="What students learn: outputs of the teacher, or labels of images. Without this key, outputs."
    )

    @model_validator(mode="after")
    def _has_labels(self) -> "StudentTraining":
        if self.target == "labels" and self.data.kind != "cifar10":
            raise ValueError(f"target labels needs data with labels (kind cifar10), got kind {self.data.kind}")
        return self

    fitted: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="A student is kept after the first epoch with a training error this low, as a share of the best "
        "constant output's loss. Needs `data.finite`. Without this key, none is kept.",
    )

    @model_validator(mode="after")
    def _fits_a_set(self) -> "StudentTraining":
        if self.fitted and not self.data.finite:
            raise ValueError("fitted: needs data.finite, the set that is fitted; add it or drop fitted")
        return self

    @model_validator(mode="after")
    def _noise_has_outputs(self) -> "StudentTraining":
        if self.target == "labels" and self.data.finite and self.data.finite.noise:
            raise ValueError("data.finite.noise: is for outputs of a teacher, not for labels; drop it or target")
        return self

    def check_teacher(self, teacher: Teacher) -> None:
        """Raises ValueError if the teacher does not fit the samples, or has another number of layers than students."""
        super().check_teacher(teacher)
        if self.student.widths and len(self.student.widths) != len(teacher.widths):
            raise ValueError(
                f"has {len(teacher.widths)} hidden layers, but student.widths has {len(self.student.widths)}"
            )

    @model_validator(mode="after")
    def batches_fit(self) -> "StudentTraining":
        batches_fit(self.data.samples_per_epoch, self.training.batch, batch_norm=self.student.batch_norm)
        return self


class Measurement(Model):
    """What the settings of every measuring kind have: the finished training run that is measured."""

    source: RunName = Field(
        description="The training run that is measured, of the kind [`student-training`](#kind-student-training)."
    )

    def check_source(self, trained: StudentTraining, teacher: Teacher) -> None:
        """Raises ValueError if that run does not have what is measured."""


class GradientMeasurement(Measurement):
    """Settings of the kinds ``modulation`` and ``gradient-rule``: what training sends down through the layers."""

    samples: int = Field(ge=2, description="Number of evaluation samples that means are taken over.")

    def check_source(self, trained: StudentTraining, teacher: Teacher) -> None:
        """Raises ValueError for BatchNorm and convolutions, and if there are fewer evaluation samples."""
        if trained.student.batch_norm or teacher.kernel:
            raise ValueError(
                f"source: {self.source} has BatchNorm or convolutions, for which the gradient rule is not stated; "
                "choose a fully connected run without"
            )
        if self.samples > trained.data.evaluation_samples:
            raise ValueError(
                f"samples: {self.samples} are more than the {trained.data.evaluation_samples} that {self.source} is "
                "evaluated on; use fewer"
            )
