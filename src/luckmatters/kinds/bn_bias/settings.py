"""Kind ``bn-bias``: what its YAML may say."""

from typing import Literal

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.base import Model

# torchvision's names of networks with BatchNorm and weights for ImageNet.
Pretrained = Literal[
    "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn", "resnet18", "resnet34", "resnet50", "resnet101"
]  # fmt: skip


# What figures, captions and verdicts advise where published numbers stand in for weights.
WEIGHTS_REMEDY = (
    "`weights=torchvision` after `--config` (beside the scale) gets the weights (0.5 GB a VGG network), and with them "
    "counts and histograms"
)


class BnBias(Model):
    """Settings of the kind ``bn-bias``: the BatchNorm of a pretrained network, of which there is one."""

    model: Pretrained
    seeds: Literal[1] = 1


KIND = Kind(
    BnBias,
    verb="extract",
    layouts={
        "bias-histograms": Layout(),
        "bias-shares": Layout(),
    },
)
