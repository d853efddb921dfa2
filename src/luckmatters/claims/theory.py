"""Claims on the theory: gradient rule, top-down modulation, luck and speed, winner takes all."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from luckmatters.claims.overlap import Effects, at, at_end, curve
from luckmatters.claims.statistics import LacksDataError, worst_column
from luckmatters.results import Results


def change(table: pd.DataFrame) -> pd.DataFrame:
    """Last minus first moment, by seed."""
    return at_end(table) - at(table, 0)


def at_any_time(table: pd.DataFrame) -> pd.DataFrame:
    """A row a seed, a column a layer and moment."""
    return table.unstack("epoch")


def gradient_rule(results: Results) -> Effects:
    """Digits to which the rule holds, and the cosines of both matrix forms."""
    residual = curve(results, "residual")
    return {
        "identity": worst_column(at_any_time(-np.log10(residual.clip(lower=np.finfo(float).tiny)))),
        "direction": worst_column(at_any_time(curve(results, "matrix_form_cosine"))),
        "direction-recursive": worst_column(at_any_time(curve(results, "recursive_matrix_form_cosine"))),
    }


def top_down(results: Results) -> Effects:
    """How much more diagonal β* and H* become."""
    beta, h = (np.log(curve(results, f"{name}_dominance")) for name in ("beta_star", "h_star"))
    return {
        "beta-grows": worst_column(change(beta)),
        "h-grows": worst_column(change(h)),
        "h-above-beta": worst_column(change(h - beta)),
        "match-leads": worst_column(at_end(curve(results, "h_star_lead"))),
    }


def top_down_cifar(results: Results) -> Effects:
    """The same on CIFAR-10."""
    return {f"cifar-{name}": effect for name, effect in top_down(results).items()}


def nodes(results: Results) -> pd.DataFrame:
    """A row a student node that is alive at the end, a column a quantity; NaN times: never."""
    table = results.table.dropna(subset="node")
    if table.empty:
        raise LacksDataError(f"{results.name} has no values of single nodes")
    wide = table.pivot(index=["seed", "layer", "node"], columns="quantity", values="value")
    return wide.dropna(subset="final_overlap")


def rank_correlation(layer: pd.DataFrame, time: str) -> float:
    """Spearman's, of the nodes' initial overlap with the time; never is the latest. 0 where all nodes have one time."""
    times = layer[time].fillna(np.inf)
    if times.nunique() < 2:
        return 0.0
    return stats.spearmanr(layer["initial_overlap"], times).statistic


def luck_speed(results: Results) -> Effects:
    """Rank correlations of initial overlap with the times, and the share that passes by quartile."""
    (run,) = results.runs.values()
    passing = f"time_{run.settings.levels[0]:g}"

    def sooner(layer: pd.DataFrame, time: str) -> float:
        return -rank_correlation(layer, time)

    def lucky(layer: pd.DataFrame) -> float:
        quartile = pd.qcut(layer["initial_overlap"].rank(method="first"), 4, labels=False)
        passed = layer[passing].notna().groupby(quartile).mean()
        return passed[3] - passed[0]

    layers = nodes(results).groupby(["seed", "layer"])
    effects = {
        "passes-sooner": layers.apply(sooner, time=passing),
        "half-way-sooner": layers.apply(sooner, time="time_half_way"),
        "lucky-pass": layers.apply(lucky),
    }
    return {name: worst_column(values.unstack("layer")) for name, values in effects.items()}


def winner_takes_all(results: Results) -> Effects:
    """How many teacher nodes are stood for, by how few students, and what the winners carry."""
    carried = curve(results, "winners_share")
    return {
        "found": worst_column(at_end(curve(results, "found"))),
        "few": worst_column(-at_end(curve(results, "standing"))),
        "winners-carry": worst_column(at_end(carried)),
        "concentrates": worst_column(change(carried)),
    }


# Of each claim: its experiments, and the functions that give the effects found in each.
CLAIMS: dict[str, dict[str, list[Callable[[Results], Effects]]]] = {
    "gradient-rule": {"gradient-rule": [gradient_rule]},
    "top-down": {"modulation": [top_down], "modulation-cifar": [top_down_cifar]},
    "luck-speed": {"luck-speed": [luck_speed]},
    "winner-takes-all": {"luck-speed": [winner_takes_all]},
}
