"""Claims on the BatchNorm biases of pretrained networks."""

from functools import partial

import pandas as pd

from luckmatters.judging.statistics import Effect, LacksDataError, Measure
from luckmatters.kinds.bn_bias.settings import WEIGHTS_REMEDY
from luckmatters.science.biases import by_layer, compared, has_weights, share_bounds
from luckmatters.tables.results import Results


def negative_share(results: Results, model: str) -> Effect:
    """The share of a pretrained network's biases that are below zero, over all its layers; `seeds` counts channels.

    With the weights it is a count, and the interval has no width; without, the interval holds every share that the
    published means and standard deviations allow.
    """
    table = results.table[results.table["model"] == model]
    if table.empty:
        raise LacksDataError(f"{results.name} has no model {model}")
    layers = by_layer(table)
    weight = layers["channels"] / layers["channels"].sum()
    share = share_bounds(layers).mul(weight, axis=0).sum()
    return Effect(share["likely"], share["low"], share["high"], int(layers["channels"].sum()))


def as_published(results: Results) -> Effect:
    """How many of the published numbers the weights do not give, with its sign turned; of the networks that have them.

    Its note names the others. Raises LacksDataError where published numbers stand in for all weights.
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


CLAIMS: dict[str, dict[str, dict[str, Measure]]] = {
    "small-overlap": {
        "bn-bias-vgg": {model: partial(negative_share, model=model) for model in ("vgg11", "vgg16")},
        "bn-bias-all": {"as-published": as_published},
    },
}
