"""Do results change? New summary tables against the committed ones, within measured tolerances."""

import pandas as pd

from luckmatters.tables.columns import SUMMARY_KEYS

# Other machines round differently again than the conditions that the spread was measured under, and a quantity that
# hardly moved there may move a little more elsewhere: float32 rounding (6e-8) grows over the steps of a ci run.
MARGIN, FLOOR = 5.0, 2e-5


def differences(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Row by row, |difference| of the means relative to max(1, |mean|); infinite where only one has a row or a value.

    Columns: the keys that the tables have, and difference.
    """
    keys = [key for key in SUMMARY_KEYS if key in one]
    both = one.merge(other, how="outer", on=keys, suffixes=("_one", "_other"), indicator=True)
    scale = both["mean_one"].abs().clip(lower=1)
    difference = (both["mean_one"] - both["mean_other"]).abs() / scale
    difference[both["mean_one"].isna() & both["mean_other"].isna()] = 0.0
    changed = difference.isna() | (both["_merge"] != "both") | (both["seeds_one"] != both["seeds_other"])
    return both[keys].assign(difference=difference.mask(changed, float("inf")))


def greatest(found: pd.DataFrame) -> pd.Series:
    """The greatest difference of each variant and quantity."""
    return found.groupby(["variant", "quantity"])["difference"].max()


def tolerance(spread: pd.Series) -> pd.Series:
    """The difference that is still taken for rounding, where that of the conditions was `spread`."""
    return MARGIN * spread + FLOOR


def departures(reference: pd.DataFrame, new: pd.DataFrame, spread: pd.Series) -> pd.DataFrame:
    """The rows of :func:`differences` beyond the :func:`tolerance` of their variant and quantity."""
    found = differences(reference, new)
    measured = pd.MultiIndex.from_frame(found[["variant", "quantity"]]).map(spread.to_dict()).to_numpy(float)
    allowed = tolerance(pd.Series(measured, index=found.index).fillna(0.0))
    return found.assign(tolerance=allowed)[found["difference"] > allowed]
