"""Claims on over-parameterization: students with m times the teacher's nodes."""

import itertools

import numpy as np
import pandas as pd

from luckmatters.judging.curves import (
    at,
    curve,
    last_epoch,
    mean_over_layers,
    on_the_way,
    until,
)
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import (
    Effect,
    difference,
    in_every_cell,
    log_spread_ratio,
    slope,
)
from luckmatters.judging.variants import (
    PLAIN,
    multiplier,
    one,
)
from luckmatters.tables.results import Results

# Least multipliers for a slope: a slope over two is a single comparison.
FEWEST_MULTIPLIERS = 3


LARGEST_OF_LOSSES = 20


def multipliers(results: Results) -> list[int]:
    """The multipliers of all variants without BatchNorm, smallest first."""
    return sorted({run.settings.student.multiplier for run in results.runs.values() if PLAIN(run)})


def plain(results: Results, m: int, quantity: str = "correlation") -> pd.Series:
    """A quantity of students of multiplier m without BatchNorm, averaged over layers, by seed and epoch."""
    return mean_over_layers(curve(results, quantity, multiplier(m) & PLAIN))


def m1_unstable(results: Results) -> Effect:
    """log ratio of the spreads of final ρ̄ over initial weights, m = 1 to m = 10, with the same teacher."""
    single, ten = (plain(results, m) for m in (1, 10))
    last = last_epoch(single, ten)
    return log_spread_ratio(at(single, last), at(ten, last))


def m1_losses(results: Results) -> Effect:
    """log ratio of the spreads of the log of the final loss over initial weights, m = 1 to m = 10."""
    single, ten = (plain(results, m, "loss") for m in (1, 10))
    last = last_epoch(single, ten)
    return log_spread_ratio(np.log(at(single, last)), np.log(at(ten, last)))


def m10_beats_m1(results: Results) -> Effect:
    """ρ̄ at the last epoch that both multipliers ran, m = 10 minus m = 1."""
    single, ten = (plain(results, m) for m in (1, 10))
    last = last_epoch(single, ten)
    return in_every_cell(difference(at(ten, last), at(single, last)))


def m50_slower(results: Results) -> Effect:
    """ρ̄ averaged over the epochs that both multipliers ran, m = 10 minus m = 50."""
    ten, fifty = (plain(results, m) for m in (10, 50))
    ten, fifty = (on_the_way(until(rho, last_epoch(ten, fifty))) for rho in (ten, fifty))
    return in_every_cell(difference(ten, fifty))


def more_tickets(results: Results) -> Effect:
    """Initial ρ̄ of each multiplier minus initial ρ̄ of the next smaller multiplier, by the seeds that both have."""
    initial = [at(plain(results, m), 0) for m in multipliers(results)]
    return in_every_cell(*(difference(more, less) for less, more in itertools.pairwise(initial)))


def loss_falls(results: Results) -> Effect:
    """Minus the slope of the log loss on log m, at the last epoch that all multipliers ran, by seed.

    The slope of a seed is over the multipliers that the seed was trained at. Seeds with fewer than three are left out.
    """
    losses = {m: plain(results, m, "loss") for m in multipliers(results) if m <= LARGEST_OF_LOSSES}
    last = last_epoch(*losses.values())
    ends = {m: np.log(at(loss, last)) for m, loss in losses.items()}
    slopes = {}
    for seed in sorted(set().union(*(end.index for end in ends.values()))):
        own = {np.log(m): end[seed] for m, end in ends.items() if seed in end.index}
        if len(own) >= FEWEST_MULTIPLIERS:
            slopes[seed] = -slope(np.array(list(own)), np.array(list(own.values())))
    return in_every_cell(pd.Series(slopes, dtype=float))


ONE, TEN, FIFTY = (one(multiplier(m) & PLAIN) for m in (1, 10, 50))

EVIDENCE = [
    evidence("over-param-helps", "m10-beats-m1", "over-param", m10_beats_m1, needs=(ONE, TEN)),
    evidence("over-param-helps", "m50-slower", "over-param", m50_slower, needs=(TEN, FIFTY)),
    evidence("over-param-helps", "more-tickets", "over-param", more_tickets, needs=(ONE, TEN)),
    evidence("over-param-helps", "loss-falls", "over-param", loss_falls, needs=(ONE, TEN)),
    evidence("over-param-helps", "m1-unstable", "starts", m1_unstable, needs=(ONE, TEN)),
    evidence("over-param-helps", "m1-losses", "starts", m1_losses, needs=(ONE, TEN)),
]
