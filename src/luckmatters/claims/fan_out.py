"""Claims on fan-out norms under the matrix dynamics, and on how fast two nodes follow their teacher nodes."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from luckmatters.claims.statistics import Effect, LacksDataError, mean_effect
from luckmatters.results import Results

Effects = dict[str, Effect]


def moments(results: Results, quantity: str, start: str) -> list[pd.DataFrame]:
    """A quantity of the last hidden layer, before and at the end: index seed, columns initial and final; one a variant.

    Raises LacksDataError if the experiment has no such start.
    """
    rows = results.select(quantity)
    rows = rows[(rows["start"] == start) & (rows["layer"] == rows["layer"].max())]
    if rows.empty:
        raise LacksDataError(f"{results.name} has no start {start}")
    found = []
    for _, part in rows.groupby("variant", sort=False):
        values = part.pivot(index="seed", columns="epoch", values="value")
        found.append(pd.DataFrame({"initial": values.iloc[:, 0], "final": values.iloc[:, -1]}))
    return found


def smallest(columns: list[pd.Series]) -> Effect:
    """The smallest over variants, which have their own seeds: of their means, lower and upper limits, and of seeds.

    So a check holds if it does for every variant, and fails if it does for any.
    """
    effects = [mean_effect(values) for values in columns]
    limits = np.min([(effect.estimate, effect.low, effect.high) for effect in effects], axis=0)  # NaN where any is
    return Effect(*limits, min(effect.seeds for effect in effects))


def kept(results: Results, start: str) -> list[pd.Series]:
    """Final over initial fan-out norm of the matched nodes."""
    return [its["final"] / its["initial"] for its in moments(results, "matched_norm", start)]


def lost(results: Results, start: str) -> list[pd.Series]:
    """The share of their fan-out norm that unmatched nodes lose."""
    return [1 - its["final"] / its["initial"] for its in moments(results, "unmatched_norm", start)]


def one_layer(results: Results) -> Effects:
    """What both groups keep from every start with an aligned lowest layer; without; and who the winners are."""
    effects = {}
    for start in ("1-0", "1-03", "1-1"):
        effects |= {f"keeps-{start}": smallest(kept(results, start))}
        effects |= {f"vanishes-{start}": smallest(lost(results, start))}
    pairs = zip(lost(results, "1-1"), lost(results, "03-1"), strict=True)
    above = [
        np.log(winners["final"] / others["final"])
        for start in results.table["start"].unique()
        for winners, others in zip(
            moments(results, "winner_norm", start), moments(results, "other_norm", start), strict=True
        )
    ]
    return effects | {
        "alignment-matters": smallest([aligned - without for aligned, without in pairs]),
        "winners-above": smallest(above),
    }


def two_layers(results: Results) -> Effects:
    """The same of the second hidden layer, from the starts with both layers below its fan-out aligned."""
    effects = {}
    for start in ("1-1-0", "1-1-1"):
        effects |= {f"three-keeps-{start}": smallest(kept(results, start))}
        effects |= {f"three-vanishes-{start}": smallest(lost(results, start))}
    return effects


def two_nodes(results: Results) -> Effects:
    """How far times are from their prediction, by seed, over its pairs that get to the level.

    The smallest over gradients and levels.
    """
    near = []
    for _, part in results.table.groupby("variant", sort=False):
        wide = part.pivot_table(index=["seed", "replica", "node"], columns="quantity", values="value")
        for level in (name.removeprefix("time_") for name in wide if name.startswith("time_")):
            its = wide[wide["initial_cosine"] < float(level)].dropna(subset=f"time_{level}")
            ratio = its[f"time_{level}"] / its[f"predicted_{level}"]
            near.append(0.1 - (ratio - 1).abs().groupby("seed").mean())
    return {"two-nodes-predicted": smallest(near)}


# Of each claim: its experiments, and the functions that give the effects found in each.
CLAIMS: dict[str, dict[str, list[Callable[[Results], Effects]]]] = {
    "fan-out-vanishes": {"fan-out-2": [one_layer], "fan-out-3": [two_layers]},
}
LUCK_SPEED: dict[str, list[Callable[[Results], Effects]]] = {"two-nodes": [two_nodes]}
