"""Claims on starts: how far final losses differ by initial weights, and how far by the order of samples.

A start is a student's initial weights. Students of the same start differ in their samples.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from luckmatters.judging.curves import curve, mean_over_layers
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, LacksDataError, in_every_cell, intraclass_z, jackknifed, log_spread
from luckmatters.judging.variants import PLAIN, Variants, multiplier, one
from luckmatters.kinds.student_training.claims.over_parameterization import FEWEST_MULTIPLIERS, multipliers, slope
from luckmatters.learning.shapes import start
from luckmatters.tables.results import Results

OWN = Variants("initial weights of the own seed", lambda run: run.settings.student.starts is None)
SHARED = Variants("initial weights shared with another seed", lambda run: run.settings.student.starts is not None)


def by_start(results: Results, which: Variants, quantity: str) -> pd.DataFrame:
    """The curves of a quantity in one variant, averaged over layers: a row for each start, a column for each epoch."""
    table = mean_over_layers(curve(results, quantity, which)).unstack("epoch")
    (run,) = (run for run in results.runs.values() if which(run))
    return table.rename(index=lambda seed: start(run, seed)).rename_axis(index="start")


def both_orders(results: Results, m: int, quantity: str, epoch: int | None = None) -> pd.DataFrame:
    """A quantity of the students of each start: a row for each start, a column for each of the two sample orders.

    epoch: None for the last epoch of both orders.
    """
    orders = [by_start(results, multiplier(m) & PLAIN & which, quantity) for which in (OWN, SHARED)]
    last = min(table.columns.max() for table in orders) if epoch is None else epoch
    pairs = pd.concat([table[last] for table in orders], axis=1, join="inner", keys=["first", "second"])
    if pairs.empty:
        raise LacksDataError(f"m = {m} has no start with two orders of samples")
    return pairs


def log_losses(results: Results, m: int) -> pd.DataFrame:
    """The log of the final evaluation loss, by start and sample order."""
    return np.log(both_orders(results, m, "loss"))


def luck_and_loss(results: Results, m: int) -> pd.DataFrame:
    """ρ̄ at epoch 0 and the log of the final loss, means over both orders: a row for each start."""
    pairs = {"luck": both_orders(results, m, "correlation", epoch=0), "loss": log_losses(results, m)}
    return pd.DataFrame({name: mean_over_layers(pair) for name, pair in pairs.items()})


def explained(results: Results, ms: Sequence[int]) -> Effect:
    """The share of the variance of log final loss that the start explains, in every of these multipliers."""
    effect = in_every_cell(*(jackknifed(log_losses(results, m), intraclass_z) for m in ms))
    limits = {name: float(np.tanh(getattr(effect, name))) for name in ("estimate", "low", "high")}
    return replace(effect, **limits)


def rank_correlation(rows: np.ndarray) -> float:
    """Spearman's rank correlation of two columns, (n, 2)."""
    return stats.spearmanr(rows).statistic


def luck_explains(results: Results, ms: Sequence[int]) -> Effect:
    """Minus the rank correlation of initial ρ̄ with the final loss over starts, in every of these multipliers."""
    return in_every_cell(*(-jackknifed(luck_and_loss(results, m), rank_correlation) for m in ms))


def falls(results: Results) -> Effect:
    """Minus the slope on log m of the log standard deviation, over starts, of the log loss at the last common epoch.

    Raises LacksDataError if there are fewer than FEWEST_MULTIPLIERS multipliers.
    """
    ms = multipliers(results)
    if len(ms) < FEWEST_MULTIPLIERS:
        raise LacksDataError(f"{results.name} has {len(ms)} multipliers, and a slope needs {FEWEST_MULTIPLIERS}")
    curves = [by_start(results, multiplier(m) & PLAIN & OWN, "loss") for m in ms]
    last = min(table.columns.max() for table in curves)
    losses = np.log(pd.concat([table[last] for table in curves], axis=1, join="inner", keys=ms))

    def fall(rows: np.ndarray) -> float:
        return -slope(np.log(ms), np.array([log_spread(values) for values in rows.T]))

    return in_every_cell(jackknifed(losses, fall))


def needs(*ms: int) -> tuple[Variants, ...]:
    """The students of both sample orders at these multipliers."""
    return tuple(one(multiplier(m) & PLAIN & which) for m in ms for which in (OWN, SHARED))


SINGLE, WIDER = (1,), (2, 5, 10)

EVIDENCE = [
    evidence("starts", "more-than-orders", "sample-orders", explained, ms=SINGLE, needs=needs(*SINGLE)),
    evidence("starts", "mostly-the-start", "sample-orders", explained, ms=SINGLE, needs=needs(*SINGLE)),
    evidence("starts", "wider", "sample-orders", explained, ms=WIDER, needs=needs(*WIDER)),
    evidence("starts", "luck-explains", "sample-orders", luck_explains, ms=SINGLE, needs=needs(*SINGLE)),
    evidence("starts", "luck-explains-wider", "sample-orders", luck_explains, ms=WIDER, needs=needs(*WIDER)),
    evidence("starts", "falls", "sample-orders", falls, needs=needs(*SINGLE, *WIDER)),
]
