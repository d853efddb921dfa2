"""Kind ``student-training``: the settings, the verb and the layouts of figures."""

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.students import HINDSIGHT, StudentTraining

KIND = Kind(
    StudentTraining,
    verb="train",
    measurable=True,
    hindsight=HINDSIGHT,
    layouts={
        "overlap-curves": Layout(),
        "overlap-grid": Layout(options=("columns",)),
        "generalization": Layout(whole=True),
        "weight-curves": Layout(),
        "teacher-overlap": Layout(),
        "loss-spread": Layout(whole=True),
        "changes": Layout(options=("columns",), whole=True),
    },
)
