"""Effects with 95 % intervals over seeds."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95


class LacksDataError(Exception):
    """An experiment's results do not have what a claim needs at this scale."""


@dataclass(frozen=True)
class Effect:
    """An estimate with its 95 % interval, and the number of seeds behind it (NaN limits: too few seeds).

    note: what a reader of the ledger must know of it.
    """

    estimate: float
    low: float
    high: float
    seeds: int
    note: str = ""


def mean_effect(per_seed: pd.Series) -> Effect:
    """Mean over seeds with Student's t interval; NaN (diverged) seeds are left out."""
    values = per_seed.dropna().to_numpy(float)
    if len(values) == 0:
        return Effect(np.nan, np.nan, np.nan, 0)
    mean = values.mean()
    if len(values) == 1:
        return Effect(mean, np.nan, np.nan, 1)
    half = stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1) * stats.sem(values)
    return Effect(mean, mean - half, mean + half, len(values))


def worst_column(table: pd.DataFrame) -> Effect:
    """The smallest of the columns' means over seeds (index seed), with a 95 % interval for the smallest true mean.

    Every column has Student's t interval at 1 - 0.05 / columns (Bonferroni), so that all hold jointly; the limits are
    the smallest lower and the smallest upper one. To average each seed's smallest value instead would take the noise
    of the columns for an effect: of columns that are all zero but for noise, its mean is below zero, the surer the
    more seeds there are. A seed with a NaN is left out of every column; `seeds` counts the others.
    """
    values = table.dropna().to_numpy(float)
    seeds, columns = values.shape
    if seeds == 0:
        return Effect(np.nan, np.nan, np.nan, 0)
    mean = values.mean(axis=0)
    if seeds == 1:
        return Effect(mean.min(), np.nan, np.nan, 1)
    half = stats.t.ppf(1 - (1 - CONFIDENCE) / columns / 2, seeds - 1) * stats.sem(values)
    return Effect(mean.min(), (mean - half).min(), (mean + half).min(), seeds)


def sign_effect(per_seed: pd.Series) -> Effect:
    """The share of seeds above zero with the exact binomial interval (the sign test's); zeros and NaN are left out."""
    values = per_seed.dropna().to_numpy(float)
    values = values[values != 0]
    if len(values) == 0:
        return Effect(np.nan, np.nan, np.nan, 0)
    test = stats.binomtest(int((values > 0).sum()), len(values))
    interval = test.proportion_ci(CONFIDENCE, method="exact")
    return Effect(test.statistic, interval.low, interval.high, len(values))


def log_spread_ratio(wide: pd.Series, narrow: pd.Series) -> Effect:
    """log of the ratio of two standard deviations over the same seeds, with the interval for paired samples.

    The seeds' values may be correlated (same teacher, same evaluation set); Morgan's and Pitman's test of equal
    variances, solved for the ratio, allows for it.
    """
    pairs = pd.concat([wide, narrow], axis=1).dropna().to_numpy(float)
    seeds = len(pairs)
    if seeds < 3:
        return Effect(np.nan, np.nan, np.nan, seeds)
    estimate = np.log(pairs[:, 0].std(ddof=1) / pairs[:, 1].std(ddof=1))
    correlation = np.corrcoef(pairs.T)[0, 1]
    quantile = stats.t.ppf(0.5 + CONFIDENCE / 2, seeds - 2)
    k = 1 + 2 * (1 - correlation**2) * quantile**2 / (seeds - 2)
    half = 0.5 * np.log(k + np.sqrt(k**2 - 1))
    return Effect(estimate, estimate - half, estimate + half, seeds)
