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
    """A row a student node that is alive at the end, a column a quantity; NaN times: never."""
    table = results.table.dropna(subset="node")
    if table.empty:
        raise LacksDataError(f"{results.name} has no values of single nodes")
    wide = table.pivot(index=["seed", "layer", "node"], columns="quantity", values="value")
    return wide.dropna(subset="final_overlap")


def of_nodes(results: Results, measure: Callable[[pd.DataFrame], float]) -> Effect:
    """A measure of the nodes of a layer, by seed, in every layer; NaN for a seed that diverged (it has no nodes)."""
    found = nodes(results).groupby(["seed", "layer"]).apply(measure).unstack("layer")
    return in_every_cell(found.reindex(results.table["seed"].unique()))


def passing(results: Results) -> str:
    """The quantity that is the time at which ρ passes the first level."""
    (run,) = results.runs.values()
    return f"time_{run.settings.levels[0]:g}"


def rank_correlation(layer: pd.DataFrame, time: str) -> float:
    """Spearman's, of the nodes' initial overlap with the time; never is the latest. 0 where all nodes have one time."""
    times = layer[time].fillna(np.inf)
    if times.nunique() < 2:
        return 0.0
    return stats.spearmanr(layer["initial_overlap"], times).statistic


def passes_sooner(results: Results) -> Effect:
    """Rank correlation of initial overlap with the time at which ρ passes the first level, sign turned."""
    return of_nodes(results, lambda layer: -rank_correlation(layer, passing(results)))


def half_way_sooner(results: Results) -> Effect:
    """The same with the time at which ρ has come half its way to 1."""
    return of_nodes(results, lambda layer: -rank_correlation(layer, "time_half_way"))


def lucky_pass(results: Results) -> Effect:
    """Share of nodes that pass the first level, uppermost minus lowest quartile of initial overlap."""
    time = passing(results)

    def lucky(layer: pd.DataFrame) -> float:
        quartile = pd.qcut(layer["initial_overlap"].rank(method="first"), 4, labels=False)
        passed = layer[time].notna().groupby(quartile).mean()
        return passed[3] - passed[0]

    return of_nodes(results, lucky)


def found(results: Results) -> Effect:
    """Share of live teacher nodes that a student stands for at the end, in every layer."""
    return in_every_cell(at_end(curve(results, "found")))


def few(results: Results) -> Effect:
    """Students that stand for a teacher node of those that any is close to, sign turned, in every layer.

    A seed none of whose teacher nodes in a layer any student is close to has nothing to count and is left out there.
    """
    ((standing, share),) = beside(results, "standing", "found")
    counts, known = -at_end(standing), at_end(share).notna()
    return in_every_cell(*(counts[layer][counts[layer].notna() | ~known[layer]] for layer in counts))


def winners_carry(results: Results) -> Effect:
    """Share of a layer's contribution that is the winners' at the end, in every layer."""
    return in_every_cell(at_end(curve(results, "winners_share")))


def concentrates(results: Results) -> Effect:
    """How much the winners' share grows in training, in every layer."""
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
