"""Effects with 95 % intervals over seeds, and the rules for checks on many cells and for diverged seeds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

CONFIDENCE = 0.95
FEWEST_JACKKNIFED = 4  # without one of three, two are left, whose rank correlation is always 1 or −1


class LacksDataError(Exception):
    """An experiment's results lack data that a claim needs at the scale."""


@dataclass(frozen=True)
class Effect:
    """An estimate with a 95 % interval over seeds.

    low, high: the limits of the interval; NaN: too few seeds.
    seeds: the number of seeds; diverged: the number of diverged seeds among them, which have no value but count.
    note: a remark for readers of the ledger.
    """

    estimate: float
    low: float
    high: float
    seeds: int
    note: str = ""
    diverged: int = 0


def mean_effect(per_seed: pd.Series, *, confidence: float = CONFIDENCE) -> Effect:
    """The mean over seeds with Student's t interval, without seeds that have no finite value; figures show such means.

    per_seed: a value for each seed.
    """
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
    """Ours minus theirs over common seeds; the index is the seed.

    NaN where ours diverged, +inf where only theirs diverged. Raises LacksDataError without a common seed.
    """
    ours, theirs = ours.align(theirs, join="inner", axis=0)
    if len(ours) == 0:
        raise LacksDataError("what is compared has no seed in common")
    return (ours - theirs).mask(ours.notna() & theirs.isna(), np.inf)


def with_diverged(values: pd.Series, confidence: float) -> Effect:
    """The mean over seeds with Student's t interval, where a diverged seed counts as the worst outcome.

    values: NaN where the student that the claim favours diverged, +inf where only the compared student diverged.
    With a NaN the effect has no lower limit, and the check cannot support the claim. With a +inf the effect has no
    upper limit, and the check cannot contradict the claim. The other limit comes from the finite seeds. If fewer than
    two seeds are finite and all diverged seeds are on the same side, this side has lost: estimate and limits are
    infinite.
    """
    values = values.fillna(-np.inf)
    lost, won = (values == -np.inf).any(), (values == np.inf).any()
    finite = mean_effect(values, confidence=confidence)
    if finite.seeds < 2 and lost != won:
        estimate = low = high = -np.inf if lost else np.inf
    else:
        estimate, low, high = finite.estimate, -np.inf if lost else finite.low, np.inf if won else finite.high
    return Effect(estimate, low, high, len(values), diverged=len(values) - finite.seeds)


def independent_difference(ours: pd.Series, theirs: pd.Series) -> Effect:
    """The mean of ours minus the mean of theirs for independent seeds, with Welch's interval.

    A diverged seed of ours leaves no lower limit, a diverged seed of theirs no upper limit. The effect's `seeds` is the
    smaller number of seeds. With fewer than two finite values on a side, estimate and limits are NaN.
    """
    (first, lost), (second, won) = without_diverged(ours), without_diverged(theirs)
    seeds, diverged = min(len(ours), len(theirs)), lost + won
    if min(len(first), len(second)) < 2:
        return Effect(np.nan, np.nan, np.nan, seeds, diverged=diverged)
    return Effect(*open_ended(first, second, lost, won), seeds, diverged=diverged)


def without_diverged(sample: pd.Series) -> tuple[np.ndarray, int]:
    """The finite values of a sample, (n,), and the number of other values."""
    values = sample[np.isfinite(sample)].to_numpy(float)
    return values, len(sample) - len(values)


def open_ended(first: np.ndarray, second: np.ndarray, lost: int, won: int) -> tuple[float, float, float]:
    """The difference of two means, with Welch's lower and upper limit.

    first, second: (n,) and (m,) values; lost, won: numbers of diverged seeds. A lost seed leaves no lower limit, a won
    seed no upper limit.
    """
    low, high = welch(first, second)
    return first.mean() - second.mean(), -np.inf if lost else low, np.inf if won else high


def welch(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Welch's 95 % limits of the difference of two means, for values (n,) and (m,) of unequal variance."""
    errors = [values.var(ddof=1) / len(values) for values in (first, second)]
    degrees = sum(errors) ** 2 / sum(e**2 / (len(v) - 1) for e, v in zip(errors, (first, second), strict=True))
    middle, half = first.mean() - second.mean(), stdtrit(degrees, 0.5 + CONFIDENCE / 2) * np.sqrt(sum(errors))
    return middle - half, middle + half


def in_every_cell(*tables: pd.DataFrame | pd.Series, note: str = "") -> Effect:
    """The effect of a check that must hold in every cell (layer, variant, start, epoch); all claims on means use it.

    tables: index seed, a column for each cell. Cells may have different seeds. Diverged seeds have the values that
    :func:`with_diverged` takes.

    The estimate is the smallest mean of a cell. The mean over seeds of each seed's smallest value would instead take
    noise for an effect.
    The lower limit is the smallest 95 % lower limit of a cell. The check holds if every cell holds in a separate test.
    This needs no correction (an intersection-union test): a bad cell is missed only if that cell passes the test.
    The upper limit is the smallest upper limit at confidence 1 − 0.05 / cells (Bonferroni). The check fails if any cell
    fails, and among many cells one may seem to fail by chance.
    The effect has the fewest `seeds` and the most `diverged` of a cell. Raises LacksDataError without cells.
    """
    cells = [column for table in tables for _, column in pd.DataFrame(table).items()]
    if not cells:
        raise LacksDataError("there is nothing to compare")
    plain = [with_diverged(cell, CONFIDENCE) for cell in cells]
    joint = [with_diverged(cell, 1 - (1 - CONFIDENCE) / len(cells)) for cell in cells]
    low = np.min([[cell.estimate, cell.low] for cell in plain], axis=0)  # NaN if any cell is NaN
    high = np.fmin.reduce([cell.high for cell in joint])  # NaN only if all cells are: a missing limit hides no other
    seeds, diverged = min(cell.seeds for cell in plain), max(cell.diverged for cell in plain)
    return Effect(*map(float, low), float(high), seeds, note, diverged)


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """The slope of the least-squares line; NaN where any y is NaN."""
    centered = x - x.mean()
    return float(centered @ y / (centered @ centered))


def sign_effect(per_seed: pd.Series) -> Effect:
    """The share of seeds above zero, with the exact binomial interval of the sign test; zeros are left out.

    per_seed: a value for each seed. A diverged seed counts against the diverged side: NaN counts as below zero, +inf as
    above zero.
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
    """The log ratio of the standard deviations of two independent samples of seeds, with a jackknife interval.

    The interval of the F test holds for normal values only, and ρ̄ close to 1 is skewed. The jackknife (Miller 1968)
    takes the spread of log s from the samples. A diverged seed of the narrow sample leaves no lower limit. A diverged
    seed of the wide sample, whose students the claim calls unstable, leaves no upper limit. Estimate and limits are NaN
    with fewer than three finite values in a sample, or with equal values.
    """
    (first, won), (second, lost) = without_diverged(wide), without_diverged(narrow)
    seeds, diverged = min(len(wide), len(narrow)), lost + won
    if min(len(first), len(second)) < 3 or min(np.ptp(first), np.ptp(second)) == 0:
        return Effect(np.nan, np.nan, np.nan, seeds, diverged=diverged)
    spreads = (pseudo_values(values, log_spread) for values in (first, second))
    return Effect(*open_ended(*spreads, lost, won), seeds, diverged=diverged)


def log_spread(values: np.ndarray) -> float:
    """The log of the standard deviation of values (n,)."""
    return np.log(values.std(ddof=1))


def pseudo_values(values: np.ndarray, statistic: Callable[[np.ndarray], float]) -> np.ndarray:
    """The jackknife's pseudo-values of a statistic (Miller 1968), (n,).

    n times the statistic of values (n, …) minus n − 1 times the statistic without each value in turn. The mean of
    pseudo-values, with Student's t interval, is the statistic with the jackknife's interval.
    """
    n = len(values)
    return n * statistic(values) - (n - 1) * np.array([statistic(np.delete(values, i, axis=0)) for i in range(n)])


def jackknifed(table: pd.DataFrame, statistic: Callable[[np.ndarray], float]) -> pd.Series:
    """The pseudo-values of a statistic of independent seeds, for :func:`in_every_cell`; the index is the seed.

    table: a row for each seed; statistic: a function of rows (n, …). Seeds with a value that is not finite, which are
    diverged, have NaN. Raises LacksDataError with fewer than FEWEST_JACKKNIFED other seeds.
    """
    finite = table[np.isfinite(table).all(axis=1)]
    if len(finite) < FEWEST_JACKKNIFED:
        raise LacksDataError(f"fewer than {FEWEST_JACKKNIFED} seeds have finite values")
    return pd.Series(pseudo_values(finite.to_numpy(float), statistic), finite.index).reindex(table.index)


def intraclass_z(pairs: np.ndarray) -> float:
    """½ log F of a one-way analysis of variance of pairs (n, 2), which is atanh of the intraclass correlation.

    F is the mean square between pairs over the mean square within pairs. The correlation estimates the share of the
    variance that members of a pair have in common.
    """
    between = 2 * pairs.mean(axis=1).var(ddof=1)
    within = np.square(np.diff(pairs)).mean() / 2
    return np.log(between / within) / 2
