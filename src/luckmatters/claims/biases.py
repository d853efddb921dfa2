"""Claims on BatchNorm biases and on joint firing (small overlap): a function a check, results in, effect out."""

from functools import partial

import pandas as pd

from luckmatters.claims.curves import at_end, beside, change, curve
from luckmatters.claims.statistics import Effect, LacksDataError, in_every_cell
from luckmatters.config.schema import WEIGHTS_REMEDY
from luckmatters.results import Results
from luckmatters.science.biases import by_layer, compared, has_weights, share_bounds


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


def own_biases(results: Results) -> Effect:
    """The share of negative biases in our own Conv-BN-ReLU network after training, over all its layers."""
    negative, channels = (at_end(curve(results, name, network="conv-bn-relu")) for name in ("negative", "channels"))
    return in_every_cell(negative.sum(axis=1, skipna=False) / channels.sum(axis=1, skipna=False))


def rarely(results: Results, *networks: str) -> Effect:
    """P(both fire), mean over pairs, over P(a node fires), mean over nodes, its sign turned; in every layer.

    The ratio is how often another node of the layer fires where one does, 0.5 for independent nodes that fire half the
    time. At the end of training.
    """
    cells = []
    for network in networks:
        ((together, fires),) = beside(results, "together", "fires", network=network)
        cells.append(-at_end(together) / at_end(fires))
    return in_every_cell(*cells)


def below_independence(results: Results) -> Effect:
    """P(one) P(other) minus P(both fire), mean over pairs of our own network after training, in every layer."""
    ((together, independent),) = beside(results, "together", "independent", network="conv-bn-relu")
    return in_every_cell(at_end(independent) - at_end(together))


def falls(results: Results) -> Effect:
    """How far training lowers P(both fire) in our own network, in every layer."""
    return in_every_cell(-change(curve(results, "together", network="conv-bn-relu")))


# Of each claim: its experiments, and of each of these the checks with the function that gives their effect.
CLAIMS = {
    "small-overlap": {
        "bn-bias-vgg": {model: partial(negative_share, model=model) for model in ("vgg11", "vgg16")},
        "bn-bias-all": {"as-published": as_published},
        "small-overlap": {
            "own-negative": own_biases,
            "own-rare": lambda results: rarely(results, "conv-bn-relu"),
            "own-below-independence": below_independence,
            "own-falls": falls,
            "fc-rare": lambda results: rarely(results, "fc-small", "fc-large"),
            "conv-rare": lambda results: rarely(results, "conv"),
        },
    },
}
