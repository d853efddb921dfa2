"""Claims on the theory: gradient rule, top-down modulation, luck and speed, winner takes all."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from luckmatters.claims.statistics import Effect, LacksDataError, mean_effect
from luckmatters.results import Results

Effects = dict[str, Effect]


def by_layer(results: Results, quantity: str) -> pd.DataFrame:
    """A quantity of the only variant: index (seed, epoch), a column a layer. Raises LacksDataError if it has none."""
    rows = results.select(quantity)
    if rows.empty:
        raise LacksDataError(f"{results.name} has no {quantity}")
    return rows.pivot(index=["seed", "epoch"], columns="layer", values="value").sort_index()


def end(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last moment, by seed."""
    return table.groupby("seed").last()


def change(table: pd.DataFrame) -> pd.DataFrame:
    """Last minus first moment, by seed."""
    return table.groupby("seed").last() - table.groupby("seed").first()


def worst(table: pd.DataFrame) -> Effect:
    """The smallest value of each seed over layers (and moments), averaged over seeds; NaN where any is."""
    return mean_effect(table.min(axis=1, skipna=False).groupby("seed").agg(lambda one: one.min(skipna=False)))


def gradient_rule(results: Results) -> Effects:
    """Digits to which the rule holds, and the cosines of both matrix forms."""
    return {
        "identity": worst(-np.log10(by_layer(results, "residual").clip(lower=np.finfo(float).tiny))),
        "direction": worst(by_layer(results, "matrix_form_cosine")),
        "direction-recursive": worst(by_layer(results, "recursive_matrix_form_cosine")),
    }


def top_down(results: Results) -> Effects:
    """How much more diagonal β* and H* become."""
    beta, h = (np.log(by_layer(results, f"{name}_dominance")) for name in ("beta_star", "h_star"))
    return {
        "beta-grows": worst(change(beta)),
        "h-grows": worst(change(h)),
        "h-above-beta": worst(end(h) - end(beta)),
        "match-leads": worst(end(by_layer(results, "h_star_lead"))),
    }


def top_down_cifar(results: Results) -> Effects:
    """How much more diagonal H* becomes on CIFAR-10."""
    return {"cifar-h-grows": worst(change(np.log(by_layer(results, "h_star_dominance"))))}


def nodes(results: Results) -> pd.DataFrame:
    """A row a student node that is alive at the end, a column a quantity; NaN times: never."""
    table = results.table.dropna(subset="node")
    if table.empty:
        raise LacksDataError(f"{results.name} has no values of single nodes")
    wide = table.pivot(index=["seed", "layer", "node"], columns="quantity", values="value")
    return wide.dropna(subset="teacher")


def luck_speed(results: Results) -> Effects:
    """Rank correlations of initial overlap with the times, and the share that passes by quartile."""

    def sooner(layer: pd.DataFrame, time: str) -> float:
        if layer[time].isna().all():
            return np.nan  # none got there: there is no order
        return -stats.spearmanr(layer["initial_overlap"], layer[time].fillna(np.inf)).statistic

    def lucky(layer: pd.DataFrame) -> float:
        quartile = pd.qcut(layer["initial_overlap"].rank(method="first"), 4, labels=False)
        passed = layer["time_0.9"].notna().groupby(quartile).mean()
        return passed[3] - passed[0]

    layers = nodes(results).groupby(["seed", "layer"])
    effects = {
        "passes-sooner": layers.apply(sooner, time="time_0.9"),
        "half-way-sooner": layers.apply(sooner, time="time_half_way"),
        "lucky-pass": layers.apply(lucky),
    }
    return {name: worst(values.unstack("layer")) for name, values in effects.items()}


def winner_takes_all(results: Results) -> Effects:
    """How few students stand for a teacher node, and what the winners carry."""
    carried = by_layer(results, "winners_share")
    return {
        "few": worst(-end(by_layer(results, "standing"))),
        "winners-carry": worst(end(carried)),
        "concentrates": worst(change(carried)),
    }


# Of each claim: its experiments, and the functions that give the effects found in each.
CLAIMS: dict[str, dict[str, list[Callable[[Results], Effects]]]] = {
    "gradient-rule": {"gradient-rule": [gradient_rule]},
    "top-down": {"modulation": [top_down], "modulation-cifar": [top_down_cifar]},
    "luck-speed": {"luck-speed": [luck_speed]},
    "winner-takes-all": {"luck-speed": [winner_takes_all]},
}
