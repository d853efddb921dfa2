"""Claims on joint firing, and on the BatchNorm biases of networks that are trained here."""

from luckmatters.judging.curves import at_end, beside, change, curve
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, in_every_cell
from luckmatters.judging.variants import FULLY_CONNECTED, Variants, one, teacher
from luckmatters.tables.results import Results

OWN = one(Variants("a teacher trained here, with BatchNorm", lambda run: run.teacher.batch_norm))
BOTH_SIZES = one(teacher("gaus-fc-small")), one(teacher("gaus-fc-large"))
RANDOM_CONV = one(Variants("a random Conv teacher", lambda run: run.teacher.kernel and not run.teacher.batch_norm))


def own_biases(results: Results) -> Effect:
    """The share of negative biases in our own Conv-BN-ReLU network after training, over all layers."""
    negative, channels = (at_end(curve(results, name, OWN)) for name in ("negative", "channels"))
    return in_every_cell(negative.sum(axis=1, skipna=False) / channels.sum(axis=1, skipna=False))


def rarely(results: Results, which: Variants) -> Effect:
    """Minus the ratio of P(both fire), mean over pairs, to P(a node fires), mean over nodes, in every layer.

    At the end of training. The ratio says how often a second node fires where a first node fires: 0.5 for independent
    nodes that fire half the time.
    """
    pairs = beside(results, "together", "fires", which=which)
    return in_every_cell(*(-at_end(together) / at_end(fires) for together, fires in pairs))


def below_independence(results: Results) -> Effect:
    """P(first) · P(second) minus P(both fire), mean over pairs of nodes of our own network after training, by layer."""
    ((together, independent),) = beside(results, "together", "independent", which=OWN)
    return in_every_cell(at_end(independent) - at_end(together))


def falls(results: Results) -> Effect:
    """Fall of P(both fire) in training, in every layer of our own network."""
    return in_every_cell(-change(curve(results, "together", OWN)))


EVIDENCE = [
    evidence("small-overlap", "own-negative", "small-overlap", own_biases, needs=(OWN,)),
    evidence("small-overlap", "own-rare", "small-overlap", rarely, which=OWN),
    evidence("small-overlap", "own-below-independence", "small-overlap", below_independence, needs=(OWN,)),
    evidence("small-overlap", "own-falls", "small-overlap", falls, needs=(OWN,)),
    evidence("small-overlap", "fc-rare", "small-overlap", rarely, which=FULLY_CONNECTED, needs=BOTH_SIZES),
    evidence("small-overlap", "conv-rare", "small-overlap", rarely, which=RANDOM_CONV),
]
