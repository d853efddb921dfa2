"""Entries of config/teachers.yaml, and how experiments choose a teacher."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from luckmatters.science.shapes import fan_in, weight_shapes
from luckmatters.settings.base import Model, Name, Positive, Seeds
from luckmatters.settings.data import Cifar10Data, batches_fit, check_images
from luckmatters.settings.training import LabelTraining


class Learning(Model):
    """How a teacher is trained on labels."""

    data: Cifar10Data = Field(description="The images.")
    training: LabelTraining = Field(description="How the teacher is trained.")
    readout_scale: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Initial scales of the BatchNorm below the output layer. Without this key, 1."
    )


# Keys of a teacher that are shown and that no number depends on.
TEACHER_TEXTS = frozenset({"reduced", "published_accuracy"})


class Teacher(Model):
    """One entry of config/teachers.yaml, under its name: a family of teacher networks of one shape."""

    inputs: Positive | Annotated[list[Positive], Field(min_length=3, max_length=3)] = Field(
        description="Shape of a sample: its number of values, or [channels, height, width]."
    )
    kernel: Positive | None = Field(
        None,
        description="Side of the convolutions in hidden layers, in pixels. Without this key, no convolutions.",
    )
    widths: list[Positive] = Field(min_length=1, description="Nodes or channels of each hidden layer, lowest first.")
    outputs: Positive = Field(description="Number of outputs.")
    init: Literal["separated", "no_sep", "trained"] = Field(
        description="Weights: on a grid with all nodes of a layer different, torch's default, or trained on CIFAR-10."
    )
    bias: float | None = Field(
        None,
        description="Number added to the bias of every hidden node of a random teacher, after each node's weights have "
        "length 1: nodes fire, and overlap, more with a greater number. Without this key, nothing is added.",
    )
    batch_norm: bool = Field(False, description="Whether hidden layers have BatchNorm; needs `init: trained`.")
    norm: Literal["after", "before"] | None = Field(
        None, description="Whether BatchNorm stands after or before the ReLU. Without this key, after."
    )
    learning: Learning | None = Field(
        None, description="How the teacher is trained on labels; goes together with `init: trained`."
    )
    published_accuracy: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="Test accuracy that the authors print, as a share; shown beside ours."
    )
    count: Positive = Field(description="Number of networks; network k is drawn from seed k.")
    reduced: str | None = Field(None, description="What the scale in force changes; set by the loader from `scales`.")

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
    def _learning_fits(self) -> "Teacher":
        if (self.init == "trained") != (self.learning is not None):
            raise ValueError("init trained and the key learning go together; give both or neither")
        if self.bias is not None and self.learning:
            raise ValueError("bias is of random teachers; drop it, or use init separated or no_sep")
        if self.norm and not self.batch_norm:
            raise ValueError(f"norm {self.norm} needs batch_norm: true")
        if self.batch_norm and not self.learning:
            raise ValueError("batch_norm needs init trained: a random teacher has no running statistics")
        if self.learning:
            check_images(self.shape, self.outputs)
            data, training = self.learning.data, self.learning.training
            if data.finite:
                raise ValueError("learning.data.finite is for students; drop it")
            if self.learning.readout_scale and not self.batch_norm:
                raise ValueError("learning.readout_scale is of BatchNorm, which needs batch_norm: true")
            if training.precision and not self.kernel:
                raise ValueError(f"precision {training.precision} is for convolutions (kernel); drop it")
            batches_fit(data.samples_per_epoch, training.batch, batch_norm=self.batch_norm)
        return self


class TeacherChoice(Model):
    """Which teacher labels the data."""

    name: Name = Field(description="Name of an entry in config/teachers.yaml.")
    seed: Annotated[int, Field(ge=0)] | Literal["own"] = Field(
        description="Network of the entry: a number, the same for all seeds; or `own`, network k for seed k."
    )


class WithTeacher(Model):
    """What the settings of every kind have that reads a file of teachers."""

    teacher: TeacherChoice = Field(description="The teacher.")
    seeds: Seeds

    def check_teacher(self, teacher: Teacher) -> None:
        """Raises ValueError if that teacher does not fit."""
        if self.data.kind == "cifar10":
            check_images(teacher.shape, teacher.outputs)
