"""Kind ``student-training``: what its YAML may say."""

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.students import StudentTraining

KIND = Kind(
    StudentTraining,
    verb="train",
    measurable=True,
    layouts={
        "overlap-curves": Layout(),
        "overlap-grid": Layout(options=("columns",)),
    },
)
