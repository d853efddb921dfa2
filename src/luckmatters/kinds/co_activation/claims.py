"""Claims on joint firing and on the biases of our own networks."""

from luckmatters.judging.curves import at_end, beside, change, curve
from luckmatters.judging.statistics import Effect, Measure, in_every_cell
from luckmatters.tables.results import Results


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


CLAIMS: dict[str, dict[str, dict[str, Measure]]] = {
    "small-overlap": {
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
