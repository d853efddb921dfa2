"""Summary tables of experiments: means over seeds, with published levels beside them."""

import pandas as pd

from luckmatters.judging.published import departures, keys
from luckmatters.tables.columns import SUMMARY_KEYS
from luckmatters.tables.results import Results


def summarize(results: Results) -> pd.DataFrame:
    """Mean, standard deviation and number of seeds of a quantity, by what SUMMARY_KEYS the table has.

    Teacher nodes are averaged before seeds are. NaN values (diverged seeds) are left out and not counted.
    """
    keys = [key for key in SUMMARY_KEYS if key in results.table]
    per_seed = results.table.groupby([*keys, "seed"], dropna=False, sort=False)["value"].mean()
    grouped = per_seed.groupby(keys, dropna=False, sort=False)
    summary = grouped.agg(["mean", "std", "count"]).rename(columns={"count": "seeds"})
    return summary.reset_index().sort_values(keys, kind="stable", ignore_index=True)


def summary_csv(results: Results) -> bytes:
    """The summary table as CSV, with published levels beside ours."""
    table = summarize(results)
    compared = departures(results)
    if len(compared):
        columns = {"value": "published"}
        compared = compared.drop(columns=["mean", "seeds"]).rename(columns=columns)
        table = table.merge(compared, how="left", on=keys(table))
    return csv(table)


def csv(table: pd.DataFrame) -> bytes:
    """With the digits that float32 results carry."""
    return table.to_csv(index=False, float_format="%.7g", lineterminator="\n").encode()
