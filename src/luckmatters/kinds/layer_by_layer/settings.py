"""Kind ``layer-by-layer``: the settings, the verb and the layouts of figures."""

from typing import Annotated

from pydantic import Field, model_validator

from luckmatters.kinds import Kind, Layout
from luckmatters.kinds.layer_by_layer.stages import Way
from luckmatters.settings.data import GausData
from luckmatters.settings.students import HINDSIGHT, StudentTraining
from luckmatters.settings.teachers import Teacher


class LayerByLayer(StudentTraining):
    """Settings of the kind ``layer-by-layer``: the same students, trained end to end and layer by layer from below."""

    data: GausData = Field(description="The samples.")
    ways: Annotated[list[Way], Field(min_length=1)] = Field(
        description="`end-to-end`, or layer by layer from below: hidden layers stay `random`, learn a `reconstruction` "
        "of their inputs, or learn by a `local-readout` of the teacher's outputs."
    )

    @model_validator(mode="after")
    def _plain_and_different(self) -> "LayerByLayer":
        if self.student.batch_norm:
            raise ValueError("layers are trained one by one without BatchNorm alone; set student.batch_norm to false")
        if len(set(self.ways)) < len(self.ways):
            raise ValueError(f"ways: the same one twice in {', '.join(self.ways)}; drop one")
        if self.training.snapshots:
            raise ValueError("training.snapshots: this kind keeps no networks; set it to []")
        return self

    def check_teacher(self, teacher: Teacher) -> None:
        """Raises ValueError for convolutions, and if there are fewer epochs than layers that learn one by one."""
        if teacher.kernel:
            raise ValueError("has convolutions, whose layers are not trained one by one; use a fully connected teacher")
        if self.training.epochs <= len(teacher.widths):
            raise ValueError(
                f"{len(teacher.widths)} hidden layers and the readout learn for an epoch each or more; raise "
                f"training.epochs from {self.training.epochs} to {len(teacher.widths) + 1}"
            )


KIND = Kind(
    LayerByLayer,
    verb="train",
    hindsight=HINDSIGHT,
    layouts={"layer-by-layer": Layout(whole=True)},
)
