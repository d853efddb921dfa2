"""Claims on luck and speed, and on winners that take all."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from luckmatters.judging.curves import at_end, beside, change, curve
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, LacksDataError, in_every_cell
from luckmatters.tables.results import Results


def nodes(results: Results) -> pd.DataFrame:
    """A table with a row a student node that is alive at the end, and a column a quantity. A time of NaN is never.

    Raises LacksDataError if there are no values of single nodes.
    """
    table = results.table.dropna(subset="node")
    if table.empty:
        raise LacksDataError(f"{results.name} has no values of single nodes")
    wide = table.pivot(index=["seed", "layer", "node"], columns="quantity", values="value")
    return wide.dropna(subset="final_overlap")


def of_nodes(results: Results, measure: Callable[[pd.DataFrame], float]) -> Effect:
    """A measure of the nodes of a layer, by seed, in every layer. A seed that diverged has no nodes, and is NaN."""
    measured = nodes(results).groupby(["seed", "layer"]).apply(measure).unstack("layer")
    return in_every_cell(measured.reindex(results.table["seed"].unique()))


def passing(results: Results) -> str:
    """The name of the quantity for the time at which ρ passes the first level."""
    (run,) = results.runs.values()
    return f"time_{run.settings.levels[0]:g}"


def rank_correlation(layer: pd.DataFrame, time: str) -> float:
    """Spearman's rank correlation of initial overlap with a time, over the nodes of a layer.

    A time of NaN, never, is the latest. 0 where all nodes have the same time.
    """
    times = layer[time].fillna(np.inf)
    if times.nunique() < 2:
        return 0.0
    return stats.spearmanr(layer["initial_overlap"], times).statistic


def passes_sooner(results: Results) -> Effect:
    """Minus the rank correlation of initial overlap with the time at which ρ passes the first level."""
    return of_nodes(results, lambda layer: -rank_correlation(layer, passing(results)))


def half_way_sooner(results: Results) -> Effect:
    """Minus the rank correlation of initial overlap with the time at which ρ is half way from the start to 1."""
    return of_nodes(results, lambda layer: -rank_correlation(layer, "time_half_way"))


def lucky_pass(results: Results) -> Effect:
    """Share of nodes that pass the first level, in the uppermost minus in the lowest quartile of initial overlap."""
    time = passing(results)

    def lucky(layer: pd.DataFrame) -> float:
        quartile = pd.qcut(layer["initial_overlap"].rank(method="first"), 4, labels=False)
        passed = layer[time].notna().groupby(quartile).mean()
        return passed[3] - passed[0]

    return of_nodes(results, lucky)


def found(results: Results) -> Effect:
    """Share of live teacher nodes with a standing student at the end, in every layer."""
    return in_every_cell(at_end(curve(results, "found")))


def few(results: Results) -> Effect:
    """Minus the number of standing students per teacher node that has a close student, at the end, in every layer.

    In a layer where no teacher node of a seed has a close student, there is nothing to count: the seed is left out.
    """
    ((standing, share),) = beside(results, "standing", "found")
    counts, known = -at_end(standing), at_end(share).notna()
    return in_every_cell(*(counts[layer][counts[layer].notna() | ~known[layer]] for layer in counts))


def winners_carry(results: Results) -> Effect:
    """Share of the winners in a layer's contribution at the end, in every layer."""
    return in_every_cell(at_end(curve(results, "winners_share")))


def concentrates(results: Results) -> Effect:
    """Growth in training of the winners' share in a layer's contribution, in every layer."""
    return in_every_cell(change(curve(results, "winners_share")))


EVIDENCE = [
    evidence("luck-speed", "passes-sooner", "luck-speed", passes_sooner),
    evidence("luck-speed", "half-way-sooner", "luck-speed", half_way_sooner),
    evidence("luck-speed", "lucky-pass", "luck-speed", lucky_pass),
    evidence("winner-takes-all", "found", "luck-speed", found),
    evidence("winner-takes-all", "few", "luck-speed", few),
    evidence("winner-takes-all", "winners-carry", "luck-speed", winners_carry),
    evidence("winner-takes-all", "concentrates", "luck-speed", concentrates),
]
