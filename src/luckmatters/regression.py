"""Regression check: new summary tables against committed tables, within measured tolerances."""

import pandas as pd

from luckmatters.tables.columns import SUMMARY_KEYS, present

# Other machines may round differently from the conditions under which the spread was measured. A quantity that hardly
# moved there may move more elsewhere: float32 rounding (6e-8) grows over the steps of a ci run.
MARGIN, FLOOR = 5.0, 2e-5


def differences(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """|Difference| of two tables' means relative to max(1, |mean|), by row; infinite if a row or value is missing.

    A difference in the number of seeds is infinite too. Columns: the keys in the tables, and difference.
    """
    keys = present(SUMMARY_KEYS, one)
    both = one.merge(other, how="outer", on=keys, suffixes=("_one", "_other"), indicator=True)
    difference = relative(both["mean_one"], both["mean_other"])
    changed = (both["_merge"] != "both") | (both["seeds_one"] != both["seeds_other"])
    return both[keys].assign(difference=difference.mask(changed, float("inf")))


def relative(one: pd.Series, other: pd.Series) -> pd.Series:
    """|Difference| relative to max(1, |one|); infinite where a single one of both is NaN, and 0 where both are."""
    difference = (one - other).abs() / one.abs().clip(lower=1)
    return difference.fillna(float("inf")).mask(one.isna() & other.isna(), 0.0)


def greatest(found: pd.DataFrame) -> pd.Series:
    """The greatest difference of each variant and quantity; found: see :func:`differences`."""
    return found.groupby(["variant", "quantity"])["difference"].max()


def tolerance(spread: pd.Series) -> pd.Series:
    """The greatest difference taken for rounding; spread: the difference between the measured conditions."""
    return MARGIN * spread + FLOOR


def departures(reference: pd.DataFrame, new: pd.DataFrame, spread: pd.Series) -> pd.DataFrame:
    """The rows of :func:`differences` beyond the :func:`tolerance` of their variant and quantity."""
    rows = differences(reference, new)
    measured = pd.MultiIndex.from_frame(rows[["variant", "quantity"]]).map(spread.to_dict()).to_numpy(float)
    allowed = tolerance(pd.Series(measured, index=rows.index).fillna(0.0))
    return rows.assign(tolerance=allowed)[rows["difference"] > allowed]
