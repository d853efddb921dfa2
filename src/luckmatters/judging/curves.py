"""Curves of a quantity by seed, epoch and layer, from an experiment's results, for claims."""

from collections.abc import Iterable

import pandas as pd

from luckmatters.judging.statistics import LacksDataError
from luckmatters.judging.variants import EVERY, Variants, one
from luckmatters.tables.results import Results


def curves(results: Results, quantity: str = "correlation", which: Variants = EVERY) -> dict[str, pd.DataFrame]:
    """The curves of a quantity by variant: index (seed, epoch), a column for each layer.

    which: the variants. Raises LacksDataError if no variant has the quantity, or several where a single variant must.
    """
    rows = results.select(quantity, which)
    by_variant = {
        variant: part.pivot(index=["seed", "epoch"], columns="layer", values="value").sort_index()
        for variant, part in rows.groupby("variant", sort=False)
    }
    if not by_variant or (which.single and len(by_variant) > 1):
        raise LacksDataError(f"{results.name} has {len(by_variant) or 'no'} variants with {quantity} ({which.text})")
    return by_variant


def curve(results: Results, quantity: str = "correlation", which: Variants = EVERY) -> pd.DataFrame:
    """The curves of a quantity in a single variant: index (seed, epoch), a column for each layer.

    Raises LacksDataError unless exactly one variant passes `which` and has the quantity.
    """
    return next(iter(curves(results, quantity, one(which)).values()))


def beside(results: Results, *quantities: str, which: Variants = EVERY) -> list[tuple[pd.DataFrame, ...]]:
    """The curves of several quantities side by side, a tuple for each variant.

    Raises LacksDataError if a variant lacks a quantity.
    """
    by_quantity = [curves(results, quantity, which) for quantity in quantities]
    if any(set(by_variant) != set(by_quantity[0]) for by_variant in by_quantity):
        raise LacksDataError(f"{results.name} has a variant that lacks one of {', '.join(quantities)}")
    return [tuple(by_variant[variant] for by_variant in by_quantity) for variant in by_quantity[0]]


def at(table: pd.DataFrame, epoch: int) -> pd.DataFrame:
    """The rows of an epoch, by seed. Raises LacksDataError if the curves lack the epoch."""
    if epoch not in table.index.get_level_values("epoch"):
        raise LacksDataError(f"there is no epoch {epoch}")
    return table.xs(epoch, level="epoch")


def last_epoch(*tables: pd.DataFrame) -> int:
    """The last epoch that all tables have."""
    return int(min(table.index.get_level_values("epoch").max() for table in tables))


def at_end(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last epoch, by seed."""
    return at(table, table.index.get_level_values("epoch").max())


def change(table: pd.DataFrame) -> pd.DataFrame:
    """The values of the last epoch minus the values of epoch 0, by seed."""
    return at_end(table) - at(table, 0)


def until(table: pd.DataFrame, epoch: int) -> pd.DataFrame:
    """The rows up to an epoch, this epoch included."""
    return table[table.index.get_level_values("epoch") <= epoch]


def on_the_way(table: pd.DataFrame) -> pd.DataFrame:
    """The mean over all epochs after epoch 0, by seed; NaN if any value is NaN."""
    later = table[table.index.get_level_values("epoch") > 0]
    return later.groupby("seed").agg(lambda values: values.mean(skipna=False))


def gap_closed(table: pd.DataFrame) -> pd.DataFrame:
    """The covered share of the initial distance between ρ̄ and 1: (ρ̄(t) − ρ̄(0)) / (1 − ρ̄(0))."""
    initial = at(table, 0).reindex(table.index.get_level_values("seed")).set_axis(table.index)
    return (table - initial) / (1 - initial)


def mean_over_layers(table: pd.DataFrame) -> pd.Series:
    """The mean over layers of each row; NaN if any layer is NaN."""
    return table.mean(axis=1, skipna=False)


def lowest_over(table: pd.DataFrame) -> pd.DataFrame:
    """The values of the lowest layer minus the values of each higher layer: a column for each higher layer."""
    return table.drop(columns=0).rsub(table[0], axis=0)


def named(variants: Iterable[str], what: str) -> str:
    """A remark on the variants that a check leaves out; empty without variants.

    what: the remark behind the names.
    """
    names = ", ".join(variants)
    return f"{names} {what}" if names else ""
