"""Claims on the BatchNorm biases of pretrained networks."""

import pandas as pd

from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, LacksDataError
from luckmatters.judging.variants import Variants, one
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


def model(name: str) -> Variants:
    """The variant of a pretrained network, by the name in torchvision."""
    return one(Variants(f"model {name}", lambda run: run.settings.model == name))


BOUNDS = {"limits": "bounds", "unit": "channels"}

EVIDENCE = [
    evidence("small-overlap", "vgg11", "bn-bias-vgg", negative_share, which=model("vgg11_bn"), **BOUNDS),
    evidence("small-overlap", "vgg16", "bn-bias-vgg", negative_share, which=model("vgg16_bn"), **BOUNDS),
    evidence("small-overlap", "as-published", "bn-bias-all", as_published, limits="none", unit="published numbers"),
]
