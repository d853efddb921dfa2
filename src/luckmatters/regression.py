"""Do results change? New summary tables against the committed ones, within measured tolerances."""

import pandas as pd

KEYS = ["variant", "epoch", "layer", "rank", "quantity"]
# Other machines round differently again than the conditions that the spread was measured under; and a quantity that
# did not move at all there still carries the rounding of seven printed digits.
MARGIN, FLOOR = 10.0, 2e-6


def differences(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Row by row, |difference| of the means relative to max(1, |mean|); infinite where only one has a row or a value.

    Columns: the keys that the tables have, and difference.
    """
    keys = [key for key in KEYS if key in one]
    both = one.merge(other, how="outer", on=keys, suffixes=("_one", "_other"), indicator=True)
    scale = both["mean_one"].abs().clip(lower=1)
    difference = (both["mean_one"] - both["mean_other"]).abs() / scale
    difference[both["mean_one"].isna() & both["mean_other"].isna()] = 0.0
    changed = difference.isna() | (both["_merge"] != "both") | (both["seeds_one"] != both["seeds_other"])
    return both[keys].assign(difference=difference.mask(changed, float("inf")))


def departures(reference: pd.DataFrame, new: pd.DataFrame, spread: dict[str, float]) -> pd.DataFrame:
    """The rows of :func:`differences` beyond the tolerance of their quantity (MARGIN × measured spread + FLOOR)."""
    found = differences(reference, new)
    tolerance = found["quantity"].map(spread).fillna(0.0) * MARGIN + FLOOR
    return found.assign(tolerance=tolerance)[found["difference"] > tolerance]
