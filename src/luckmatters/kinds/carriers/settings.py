"""Kind ``carriers``: the settings, the verb and the layouts of figures."""

from pydantic import Field

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.students import Measurement, StudentTraining
from luckmatters.settings.teachers import Teacher


class Carriers(Measurement):
    """Settings of the kind ``carriers``: the nodes that carry what students have learned from a finite set."""

    rise: float = Field(
        gt=0, description="A node is essential if the training loss rises by more than this share without the node."
    )
    covering: float = Field(gt=0, lt=1, description="A teacher node is covered if a student node has ρ above this.")

    def check_source(self, trained: StudentTraining, teacher: Teacher) -> None:
        """Raises ValueError if the training run keeps no fitted students."""
        if not trained.fitted:
            raise ValueError(f"source: {self.source} keeps no fitted students; give it the key fitted")


KIND = Kind(
    Carriers,
    verb="measure",
    layouts={
        "carriers": Layout(whole=True),
    },
)
