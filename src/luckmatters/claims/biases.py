"""Claims on BatchNorm biases and on joint firing (small overlap): results in, effects by check out."""

import pandas as pd

from luckmatters.claims.overlap import Effects, at, at_end, curve
from luckmatters.claims.statistics import Effect, LacksDataError, mean_effect, worst_column
from luckmatters.config.schema import WEIGHTS_REMEDY
from luckmatters.results import Results
from luckmatters.science.biases import by_layer, compared, has_weights, share_bounds

CHANCE = 0.25  # how often two independent nodes fire together of which each fires half the time


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


def most_negative(results: Results) -> Effects:
    """The share of negative biases in VGG11 and VGG16."""
    return {model: negative_share(results, model) for model in ("vgg11", "vgg16")}


def as_published(results: Results) -> Effects:
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
    return {"as-published": Effect(missed, missed, missed, len(met), note)}


def own_biases(results: Results) -> Effects:
    """The share of negative biases in our own Conv-BN-ReLU network after training, over all its layers."""
    negative, channels = (at_end(curve(results, name, network="conv-bn-relu")) for name in ("negative", "channels"))
    return {"own-negative": mean_effect(negative.sum(axis=1) / channels.sum(axis=1))}


def rarely(results: Results, *networks: str) -> list[Effect]:
    """How far joint firing lies below chance and below independence, in the worst layer of the networks."""
    below_chance, below_independence = [], []
    for network in networks:
        together, independent = (at_end(curve(results, name, network=network)) for name in ("together", "independent"))
        below_chance.append(CHANCE - together)
        below_independence.append(independent - together)
    return [worst_column(pd.concat(tables, axis=1)) for tables in (below_chance, below_independence)]


def own_network(results: Results) -> Effects:
    """Joint firing in our own network, and how far training lowers it; in the worst layer."""
    together = curve(results, "together", network="conv-bn-relu")
    rare, below_independence = rarely(results, "conv-bn-relu")
    falls = worst_column(at(together, 0) - at_end(together))
    return {"own-falls": falls, "own-rare": rare, "own-below-independence": below_independence}


def random_teachers(results: Results) -> Effects:
    """Joint firing in random teachers; in the worst layer."""
    effects = {}
    for name, networks in {"fc": ["fc-small", "fc-large"], "conv": ["conv"]}.items():
        effects[f"{name}-rare"], effects[f"{name}-below-independence"] = rarely(results, *networks)
    return effects


# Of each claim: its experiments, and the functions that give the effects found in each.
CLAIMS = {
    "small-overlap": {
        "bn-bias-vgg": [most_negative],
        "bn-bias-all": [as_published],
        "small-overlap": [own_biases, own_network, random_teachers],
    },
}
