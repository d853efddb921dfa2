"""Do results change? New summary tables against the committed ones, within measured tolerances."""

import pandas as pd

from luckmatters.config.schema import SUMMARY_KEYS

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


def widest(measured: pd.DataFrame, earlier: pd.DataFrame, same: set[tuple[str, str]]) -> pd.DataFrame:
    """The greatest difference of each quantity, measured now or earlier, perhaps on another processor.

    Both have the columns experiment, variant, quantity and difference; same: the experiments and variants whose
    settings are those of the earlier measurement. Of others, and of quantities no longer measured, nothing is kept.
    """
    keys = ["experiment", "variant", "quantity"]
    now = measured.groupby(keys)["difference"].max()
    before = earlier.set_index(keys)["difference"]
    before = before[[key[:2] in same and key in now.index for key in before.index]]
    return pd.concat([now, before]).groupby(level=keys).max().reset_index()


def departures(reference: pd.DataFrame, new: pd.DataFrame, spread: pd.Series) -> pd.DataFrame:
    """The rows of :func:`differences` beyond the tolerance of their variant and quantity (MARGIN × spread + FLOOR)."""
    found = differences(reference, new)
    measured = pd.MultiIndex.from_frame(found[["variant", "quantity"]]).map(spread.to_dict()).to_numpy(float)
    tolerance = pd.Series(measured, index=found.index).fillna(0.0) * MARGIN + FLOOR
    return found.assign(tolerance=tolerance)[found["difference"] > tolerance]
