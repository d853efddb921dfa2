"""Kind ``co-activation``: the settings, the verb and the layouts of figures."""

from pydantic import Field

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.data import Cifar10Samples, GausSamples
from luckmatters.settings.teachers import Teacher, WithTeacher


class CoActivation(WithTeacher):
    """Settings of the kind ``co-activation``: how often nodes of a teacher fire together, on samples."""

    data: GausSamples | Cifar10Samples = Field(
        discriminator="kind", description="The samples that teachers are observed on."
    )

    def check_teacher(self, teacher: Teacher) -> None:
        """Raises ValueError if the teacher does not fit, or if BatchNorm hides which nodes fire."""
        super().check_teacher(teacher)
        if teacher.batch_norm and teacher.norm != "before":
            raise ValueError(
                "BatchNorm after the ReLU hides which nodes fire; choose one without BatchNorm or with norm: before"
            )


KIND = Kind(
    CoActivation,
    verb="observe",
    layouts={
        "co-activation": Layout(tensors=True),
    },
)
