"""Kind ``rank-profile``: the settings, the verb and the layouts of figures."""

from pydantic import Field

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.base import Positive
from luckmatters.settings.students import Measurement


class RankProfile(Measurement):
    """Settings of the kind ``rank-profile``: the best students of each teacher node, before and after training."""

    students: Positive = Field(description="Number of best students that are shown for each teacher node.")


KIND = Kind(
    RankProfile,
    verb="measure",
    layouts={
        "rank-profile": Layout(),
    },
)
