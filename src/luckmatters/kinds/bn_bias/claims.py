"""Claims on the BatchNorm biases of pretrained networks."""

from collections.abc import Sequence

import pandas as pd

from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, LacksDataError, in_every_cell
from luckmatters.judging.variants import Variants, one
from luckmatters.kinds.bn_bias.roles import BEFORE_RELU, WITHOUT_RELU, above_projection, by_role
from luckmatters.kinds.bn_bias.settings import WEIGHTS_REMEDY
from luckmatters.science.biases import by_layer, compared, has_weights, share_bounds
from luckmatters.tables.results import Results


def negative_share(results: Results, which: Variants) -> Effect:
    """The share of biases below zero in a pretrained network, over all layers; `seeds` counts channels.

    With weights the share is a count, and the interval has no width. Without weights the interval holds every share
    that published means and standard deviations allow.
    """
    variants = [name for name, run in results.runs.items() if which(run)]
    if len(variants) != 1:
        raise LacksDataError(f"{results.name} has {len(variants)} variants ({which.text})")
    layers = by_layer(results.table[results.table["variant"] == variants[0]])
    weight = layers["channels"] / layers["channels"].sum()
    share = share_bounds(layers).mul(weight, axis=0).sum()
    return Effect(share["likely"], share["low"], share["high"], int(layers["channels"].sum()))


def as_published(results: Results) -> Effect:
    """Minus the number of published numbers that the weights do not give, over all networks with weights.

    The note names the networks without weights. Raises LacksDataError if no network has weights.
    """
    models = {variant: by_layer(table) for variant, table in results.table.groupby("variant", sort=False)}
    missing = [variant for variant, layers in models.items() if not has_weights(layers)]
    note = f"published numbers stand in for the weights of {', '.join(missing)}, " if missing else ""
    if len(missing) == len(models):
        raise LacksDataError(f"{note}so that there is nothing to compare; {WEIGHTS_REMEDY}")
    note = note and f"{note}which are not compared; {WEIGHTS_REMEDY}"
    met = pd.concat(compared(layers) for layers in models.values() if has_weights(layers))["met"]
    missed = -float((~met).sum())
    return Effect(missed, missed, missed, len(met), note)


def networks(results: Results) -> list[pd.DataFrame]:
    """The layers of every network, by role."""
    return [by_role(table) for _, table in results.table.groupby("variant", sort=False)]


def more_than_projection(results: Results, roles: Sequence[str], *, upper: bool = False) -> Effect:
    """Share of negative biases before a ReLU6 minus that without, within a block, in every network.

    roles: those of the layers before a ReLU6. upper: in the upper half of the blocks alone. `seeds` counts blocks.
    """
    differences = [above_projection(layers, roles) for layers in networks(results)]
    return in_every_cell(*(above[upper * len(above) // 2 :] for above in differences))


def layer_shares(results: Results, *, relu: bool) -> list[pd.Series]:
    """The shares of negative biases of all layers with, or without, a ReLU6 behind them: a series a network."""
    return [layers.loc[(layers["role"] != WITHOUT_RELU) == relu, "share"] for layers in networks(results)]


def share_before_relu(results: Results) -> Effect:
    """Mean share of negative biases over the layers before a ReLU6, in every network. `seeds` counts layers."""
    return in_every_cell(*layer_shares(results, relu=True))


def share_is_balanced(results: Results, margin: float) -> Effect:
    """How far inside ½ ± margin the mean share without a ReLU lies, in every network. `seeds` counts layers."""
    shares = layer_shares(results, relu=False)
    return in_every_cell(*(share - (0.5 - margin) for share in shares), *(0.5 + margin - share for share in shares))


def model(name: str) -> Variants:
    """The variant of a pretrained network, by the name in torchvision."""
    return one(Variants(f"model {name}", lambda run: run.settings.model == name))


BLOCKS, LAYERS = {"unit": "blocks"}, {"unit": "layers"}
BOUNDS = {"limits": "bounds", "unit": "channels"}

EVIDENCE = [
    evidence("small-overlap", "vgg11", "bn-bias-vgg", negative_share, which=model("vgg11_bn"), **BOUNDS),
    evidence("small-overlap", "vgg16", "bn-bias-vgg", negative_share, which=model("vgg16_bn"), **BOUNDS),
    evidence("small-overlap", "as-published", "bn-bias-all", as_published, limits="none", unit="published numbers"),
    evidence("bn-bias-control", "before-relu", "bn-bias-control", more_than_projection, roles=BEFORE_RELU, **BLOCKS),
    evidence("bn-bias-control", "most", "bn-bias-control", share_before_relu, **LAYERS),
    evidence("bn-bias-control", "balanced", "bn-bias-control", share_is_balanced, margin=0.1, **LAYERS),
    evidence("bn-bias-control", "expansion", "bn-bias-control", more_than_projection, roles=("expansion",), **BLOCKS),
    evidence("bn-bias-control", "depthwise", "bn-bias-control", more_than_projection, roles=("depthwise",), **BLOCKS),
    evidence(
        "bn-bias-control",
        "upper-half",
        "bn-bias-control",
        more_than_projection,
        roles=BEFORE_RELU,
        upper=True,
        **BLOCKS,
    ),
]
