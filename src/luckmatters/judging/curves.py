"""Curves of a quantity by seed, epoch and layer, as claims read them from an experiment's results."""

from collections.abc import Iterable

import pandas as pd

from luckmatters.judging.statistics import LacksDataError
from luckmatters.judging.variants import EVERY, Variants, one
from luckmatters.tables.results import Results


def curves(results: Results, quantity: str = "correlation", which: Variants = EVERY) -> dict[str, pd.DataFrame]:
    """A quantity of the chosen variants: index (seed, epoch), a column a layer; by variant.

    Raises LacksDataError if there is no such variant, or more than one where there must be one.
    """
    rows = results.select(quantity, which)
    found = {
        variant: part.pivot(index=["seed", "epoch"], columns="layer", values="value").sort_index()
        for variant, part in rows.groupby("variant", sort=False)
    }
    if not found or (which.single and len(found) > 1):
        raise LacksDataError(f"{results.name} has {len(found) or 'no'} variants with {quantity} ({which.text})")
    return found


def curve(results: Results, quantity: str = "correlation", which: Variants = EVERY) -> pd.DataFrame:
    """The same of the one variant that there is. Raises LacksDataError unless there is exactly one."""
    return next(iter(curves(results, quantity, one(which)).values()))


def beside(results: Results, *quantities: str, which: Variants = EVERY) -> list[tuple[pd.DataFrame, ...]]:
    """The curves of several quantities, a tuple a variant. Raises LacksDataError if a variant lacks any."""
    found = [curves(results, quantity, which) for quantity in quantities]
    if any(set(one) != set(found[0]) for one in found):
        raise LacksDataError(f"{results.name} has a variant that lacks one of {', '.join(quantities)}")
    return [tuple(one[variant] for one in found) for variant in found[0]]


def at(table: pd.DataFrame, epoch: int) -> pd.DataFrame:
    """The rows of an epoch, by seed. Raises LacksDataError if the run has no such epoch."""
    if epoch not in table.index.get_level_values("epoch"):
        raise LacksDataError(f"there is no epoch {epoch}")
    return table.xs(epoch, level="epoch")


def last_epoch(*tables: pd.DataFrame) -> int:
    """The last epoch that all of these runs have."""
    return int(min(table.index.get_level_values("epoch").max() for table in tables))


def at_end(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last epoch, by seed."""
    return at(table, table.index.get_level_values("epoch").max())


def change(table: pd.DataFrame) -> pd.DataFrame:
    """Last minus first moment, by seed."""
    return at_end(table) - at(table, 0)


def until(table: pd.DataFrame, epoch: int) -> pd.DataFrame:
    """The rows up to an epoch."""
    return table[table.index.get_level_values("epoch") <= epoch]


def on_the_way(table: pd.DataFrame) -> pd.DataFrame:
    """The mean over all epochs after the initial one, by seed; NaN where any is."""
    later = table[table.index.get_level_values("epoch") > 0]
    return later.groupby("seed").agg(lambda values: values.mean(skipna=False))


def gap_closed(table: pd.DataFrame) -> pd.DataFrame:
    """Which part of the distance between its initial value and 1 each ρ̄ has come, (ρ̄(t) − ρ̄(0)) / (1 − ρ̄(0))."""
    initial = at(table, 0).reindex(table.index.get_level_values("seed")).set_axis(table.index)
    return (table - initial) / (1 - initial)


def mean_over_layers(table: pd.DataFrame) -> pd.Series:
    """One value a row; NaN where any layer is."""
    return table.mean(axis=1, skipna=False)


def lowest_over(table: pd.DataFrame) -> pd.DataFrame:
    """The lowest layer minus each of the others: a column a layer above it."""
    return table.drop(columns=0).rsub(table[0], axis=0)


def named(variants: Iterable[str], what: str) -> str:
    """A remark on variants that a check leaves out; empty where there are none."""
    names = ", ".join(variants)
    return f"{names} {what}" if names else ""
