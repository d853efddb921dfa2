"""Kind ``gradient-rule``: the settings, the verb and the layouts of figures."""

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.students import GradientMeasurement

KIND = Kind(
    GradientMeasurement,
    verb="measure",
    layouts={
        "gradient-rule": Layout(single=True, tensors=True),
    },
)
