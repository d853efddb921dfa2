"""Effects with 95 % intervals over seeds."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Effect:
    """An estimate with its 95 % interval, and the number of seeds behind it (NaN limits: too few seeds)."""

    estimate: float
    low: float
    high: float
    seeds: int


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


def log_spread_ratio(wide: pd.Series, narrow: pd.Series) -> Effect:
    """log of the ratio of two standard deviations over seeds, with the F distribution's interval."""
    wide, narrow = wide.dropna().to_numpy(float), narrow.dropna().to_numpy(float)
    seeds = min(len(wide), len(narrow))
    if seeds < 2:
        return Effect(np.nan, np.nan, np.nan, seeds)
    estimate = np.log(wide.std(ddof=1) / narrow.std(ddof=1))
    quantiles = stats.f.ppf([0.5 + CONFIDENCE / 2, 0.5 - CONFIDENCE / 2], len(wide) - 1, len(narrow) - 1)
    low, high = estimate - 0.5 * np.log(quantiles)
    return Effect(estimate, low, high, seeds)
