"""Kind ``gradient-rule``: what its YAML may say."""

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.students import GradientMeasurement

KIND = Kind(
    GradientMeasurement,
    verb="measure",
    layouts={
        "gradient-rule": Layout(single=True, tensors=True),
    },
)
