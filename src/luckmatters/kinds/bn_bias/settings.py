"""Kind ``bn-bias``: the settings, the verb and the layouts of figures."""

from typing import Literal

from pydantic import Field

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.base import Model

Pretrained = Literal[
    "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn", "resnet18", "resnet34", "resnet50", "resnet101",
    "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2",
]  # fmt: skip


# The advice of figures, captions and verdicts where published numbers stand in for weights.
WEIGHTS_REMEDY = (
    "`weights=torchvision` after `--config` (beside the scale) gets the weights (0.5 GB a VGG network), and with them "
    "counts and histograms"
)


class BnBias(Model):
    """Settings of the kind ``bn-bias``: the BatchNorm of a pretrained network."""

    model: Pretrained = Field(
        description="A network with BatchNorm, trained on ImageNet: torchvision's name, or an EfficientNet-Lite."
    )
    seeds: Literal[1] = Field(1, description="There is one network of each name.")


KIND = Kind(
    BnBias,
    verb="extract",
    layouts={
        "bias-histograms": Layout(),
        "bias-shares": Layout(),
        "bias-control": Layout(),
    },
)
