"""Summary tables of experiments: means over seeds beside published levels."""

import pandas as pd

from luckmatters.judging.published import departures, keys
from luckmatters.tables.columns import SUMMARY_KEYS, present
from luckmatters.tables.results import Results


def summarize(results: Results) -> pd.DataFrame:
    """The summary of an experiment's table, see :func:`over_seeds`."""
    return over_seeds(results.table)


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation and number of seeds of every quantity, by the SUMMARY_KEYS that the table has.

    The mean over a seed's rows, such as teacher nodes, is taken before the mean over seeds. NaN values (diverged seeds)
    are left out and not counted.
    """
    keys = present(SUMMARY_KEYS, table)
    per_seed = table.groupby([*keys, "seed"], dropna=False, sort=False)["value"].mean()
    grouped = per_seed.groupby(keys, dropna=False, sort=False)
    summary = grouped.agg(["mean", "std", "count"]).rename(columns={"count": "seeds"})
    return summary.reset_index().sort_values(keys, kind="stable", ignore_index=True)


def summary_table(results: Results) -> pd.DataFrame:
    """The summary with published levels beside measured means."""
    table = summarize(results)
    compared = departures(results)
    if len(compared):
        columns = {"value": "published"}
        compared = compared.drop(columns=["mean", "seeds"]).rename(columns=columns)
        table = table.merge(compared, how="left", on=keys(table))
    return table


def summary_csv(results: Results) -> bytes:
    """The table of :func:`summary_table` as CSV."""
    return csv(summary_table(results))


def csv(table: pd.DataFrame) -> bytes:
    """A table as CSV, with seven digits, as float32 results carry."""
    return table.to_csv(index=False, float_format="%.7g", lineterminator="\n").encode()
