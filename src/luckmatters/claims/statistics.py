"""Effects with 95 % intervals over seeds."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

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


def mean_effect(per_seed: pd.Series, *, confidence: float = CONFIDENCE) -> Effect:
    """Mean over seeds with Student's t interval; NaN (diverged) seeds are left out."""
    values = per_seed.dropna().to_numpy(float)
    if len(values) == 0:
        return Effect(np.nan, np.nan, np.nan, 0)
    mean = values.mean()
    if len(values) == 1:
        return Effect(mean, np.nan, np.nan, 1)
    half = stdtrit(len(values) - 1, 0.5 + confidence / 2) * values.std(ddof=1) / np.sqrt(len(values))
    return Effect(mean, mean - half, mean + half, len(values))


def sign_effect(per_seed: pd.Series) -> Effect:
    """The share of seeds above zero with the exact binomial interval (the sign test's); zeros and NaN are left out."""
    values = per_seed.dropna().to_numpy(float)
    values = values[values != 0]
    if len(values) == 0:
        return Effect(np.nan, np.nan, np.nan, 0)
    from scipy import stats  # slow to import, and summaries import this module

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
    quantile = stdtrit(seeds - 2, 0.5 + CONFIDENCE / 2)
    k = 1 + 2 * (1 - correlation**2) * quantile**2 / (seeds - 2)
    half = 0.5 * np.log(k + np.sqrt(k**2 - 1))
    return Effect(estimate, estimate - half, estimate + half, seeds)


def worst_column(table: pd.DataFrame) -> Effect:
    """The smallest of the columns' means over seeds, with an interval for the smallest true mean of a column (a layer).

    table: index seed. Each column has Student's t interval at 1 − 0.05 / columns (Bonferroni), so that all hold jointly
    and the one that happens to be smallest is not taken for bad by chance; the limits are the least lower and the least
    upper one. To average each seed's smallest value instead would take noise for an effect: of columns that are zero
    but for noise its mean is below zero, the surer the more seeds there are. NaN (diverged) seeds are left out of their
    column, and `seeds` is the fewest of a column. A column without any value decides nothing and is the result.
    """
    effects = [mean_effect(column, confidence=1 - (1 - CONFIDENCE) / table.shape[1]) for _, column in table.items()]
    estimate, low, high, seeds = np.min([(one.estimate, one.low, one.high, one.seeds) for one in effects], axis=0)
    return Effect(estimate, low, high, int(seeds))
