"""Effects with 95 % intervals over seeds, and the rule by which a check on many cells and diverged seeds are judged."""

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

    note: what a reader of the ledger must know of it; diverged: how many of the seeds have no number but count.
    """

    estimate: float
    low: float
    high: float
    seeds: int
    note: str = ""
    diverged: int = 0


def mean_effect(per_seed: pd.Series, *, confidence: float = CONFIDENCE) -> Effect:
    """Mean over seeds with Student's t interval; seeds without a finite value are left out (figures show these)."""
    values = per_seed.to_numpy(float)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return Effect(np.nan, np.nan, np.nan, 0)
    mean = values.mean()
    if len(values) == 1:
        return Effect(mean, np.nan, np.nan, 1)
    half = stdtrit(len(values) - 1, 0.5 + confidence / 2) * values.std(ddof=1) / np.sqrt(len(values))
    return Effect(mean, mean - half, mean + half, len(values))


def difference(ours: pd.DataFrame | pd.Series, theirs: pd.DataFrame | pd.Series) -> pd.DataFrame | pd.Series:
    """Ours minus theirs over the seeds (the index) that both have.

    NaN where ours diverged, +inf where theirs alone did. Raises LacksDataError if there is no such seed.
    """
    ours, theirs = ours.align(theirs, join="inner", axis=0)
    if len(ours) == 0:
        raise LacksDataError("what is compared has no seed in common")
    return (ours - theirs).mask(ours.notna() & theirs.isna(), np.inf)


def with_diverged(values: pd.Series, confidence: float) -> Effect:
    """Mean over seeds with Student's t interval, in which a diverged seed is the worst outcome that there is.

    values: NaN where the student diverged that the claim speaks for, +inf where only the one did that it is compared
    with. A mean with an infinite value has no limit on that side: with a NaN the effect has no lower limit (the check
    cannot support the claim), with a +inf no upper one (it cannot contradict). The other limit is that of the other
    seeds. Where fewer than two are left and the others diverged on one side, that side has lost: both limits are
    infinite.
    """
    values = values.fillna(-np.inf)
    lost, won = (values == -np.inf).any(), (values == np.inf).any()
    found = mean_effect(values, confidence=confidence)
    if found.seeds < 2 and lost != won:
        estimate = low = high = -np.inf if lost else np.inf
    else:
        estimate, low, high = found.estimate, -np.inf if lost else found.low, np.inf if won else found.high
    return Effect(estimate, low, high, len(values), diverged=len(values) - found.seeds)


def independent_difference(ours: pd.Series, theirs: pd.Series) -> Effect:
    """Mean of ours minus mean of theirs for seeds that have nothing in common, with Welch's interval.

    A diverged seed of ours leaves no lower limit, of theirs no upper one. `seeds`: the fewer of the two. NaN limits:
    fewer than two values.
    """
    (first, lost), (second, won) = without_diverged(ours), without_diverged(theirs)
    seeds, diverged = min(len(ours), len(theirs)), lost + won
    if min(len(first), len(second)) < 2:
        return Effect(np.nan, np.nan, np.nan, seeds, diverged=diverged)
    return Effect(*open_ended(first, second, lost, won), seeds, diverged=diverged)


def without_diverged(sample: pd.Series) -> tuple[np.ndarray, int]:
    """The finite values of a sample, (n,), and how many others there are."""
    values = sample[np.isfinite(sample)].to_numpy(float)
    return values, len(sample) - len(values)


def open_ended(first: np.ndarray, second: np.ndarray, lost: int, won: int) -> tuple[float, float, float]:
    """The difference of two means, and Welch's limits: no lower one if any seed is lost, no upper one if any is won."""
    low, high = welch(first, second)
    return first.mean() - second.mean(), -np.inf if lost else low, np.inf if won else high


def welch(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """The 95 % limits of the difference of two means, (n,) and (m,) values of unequal variance."""
    errors = [values.var(ddof=1) / len(values) for values in (first, second)]
    degrees = sum(errors) ** 2 / sum(e**2 / (len(v) - 1) for e, v in zip(errors, (first, second), strict=True))
    middle, half = first.mean() - second.mean(), stdtrit(degrees, 0.5 + CONFIDENCE / 2) * np.sqrt(sum(errors))
    return middle - half, middle + half


def in_every_cell(*tables: pd.DataFrame | pd.Series, note: str = "") -> Effect:
    """The effect of a check that must hold in every cell (layer, variant, start, epoch); all claims on means use it.

    tables: index seed, a column a cell; cells may have different seeds, and values of diverged seeds are as in
    ``with_diverged``. The estimate is the smallest of the cells' means.
    The lower limit is the smallest of the cells' 95 % lower limits: the check holds if each cell does in a test of its
    own, which needs no correction (an intersection-union test), since a single bad cell must pass its own test to be
    missed. The upper limit is the smallest of the upper limits at 1 − 0.05 / cells (Bonferroni): the check fails if any
    cell does, and of many cells one may seem to by chance. `seeds` are the fewest, `diverged` the most of a cell.
    To average each seed's own smallest value instead would take noise for an effect.
    """
    cells = [column for table in tables for _, column in pd.DataFrame(table).items()]
    if not cells:
        raise LacksDataError("there is nothing to compare")
    plain = [with_diverged(cell, CONFIDENCE) for cell in cells]
    joint = [with_diverged(cell, 1 - (1 - CONFIDENCE) / len(cells)) for cell in cells]
    low = np.min([[one.estimate, one.low] for one in plain], axis=0)  # NaN where any is
    high = np.fmin.reduce([one.high for one in joint])  # a cell without a limit hides no other's; NaN where all are
    seeds, diverged = min(one.seeds for one in plain), max(one.diverged for one in plain)
    return Effect(*map(float, low), float(high), seeds, note, diverged)


def sign_effect(per_seed: pd.Series) -> Effect:
    """The share of seeds above zero with the exact binomial interval (the sign test's); zeros are left out.

    A diverged seed counts against the side that diverged: NaN as below zero, +inf as above.
    """
    values = per_seed.fillna(-np.inf).to_numpy(float)
    values = values[values != 0]
    if len(values) == 0:
        return Effect(np.nan, np.nan, np.nan, 0)
    from scipy import stats  # slow to import, and summaries import this module

    test = stats.binomtest(int((values > 0).sum()), len(values))
    interval = test.proportion_ci(CONFIDENCE, method="exact")
    diverged = int(np.isinf(values).sum())
    return Effect(test.statistic, interval.low, interval.high, len(values), diverged=diverged)


def log_spread_ratio(wide: pd.Series, narrow: pd.Series) -> Effect:
    """log of the ratio of the standard deviations of two independent samples of seeds, by the jackknife.

    The F test's interval holds for normal values only, and ρ̄ close to 1 is skewed; that of the jackknife (Miller 1968)
    takes the spread of log s from the samples themselves. A diverged seed of the narrow sample leaves no lower limit,
    one of the wide sample (whose students the claim calls unstable) no upper one. NaN limits: fewer than three values.
    """
    (first, won), (second, lost) = without_diverged(wide), without_diverged(narrow)
    seeds, diverged = min(len(wide), len(narrow)), lost + won
    if min(len(first), len(second)) < 3 or min(np.ptp(first), np.ptp(second)) == 0:
        return Effect(np.nan, np.nan, np.nan, seeds, diverged=diverged)
    return Effect(*open_ended(pseudo_values(first), pseudo_values(second), lost, won), seeds, diverged=diverged)


def pseudo_values(values: np.ndarray) -> np.ndarray:
    """The jackknife's values of log s, (n,): n log s minus n − 1 times log s without each value in turn."""
    n = len(values)
    without = np.array([np.delete(values, i).std(ddof=1) for i in range(n)])
    return n * np.log(values.std(ddof=1)) - (n - 1) * np.log(without)
