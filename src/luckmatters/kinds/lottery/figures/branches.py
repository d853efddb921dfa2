"""The look of lottery branches: colour, line and marker, the same in every figure, and what these figures share."""

from collections.abc import Iterable
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from luckmatters.drawing.style import FEWEST, LABELS, NETWORK_QUANTITIES
from luckmatters.judging.statistics import Effect, mean_effect
from luckmatters.kinds.lottery.branches import names
from luckmatters.tables.results import Results

_COLORS = sns.color_palette("colorblind")


@dataclass(frozen=True)
class Look:
    """A branch's name in words, and the style of the line."""

    name: str
    color: object
    line: object = "-"
    marker: str = "o"


LOOKS = {
    "dense": Look("dense network", "0.1", (0, (4, 1.5)), "s"),
    "rewound": Look("rewound (ticket)", _COLORS[0], "-", "o"),
    "early": Look("rewound to an early epoch", _COLORS[9], "-", "v"),
    "reinitialized": Look("re-initialized", _COLORS[1], "-", "s"),
    "same-signs": Look("re-initialized, same signs", _COLORS[8], "-", "D"),
    "own-scale": Look("re-initialized, own scale", _COLORS[3], "-", "^"),
    "rewound-own-scale": Look("rewound, own scale", _COLORS[6], "-", "<"),
    "scratch": Look("narrow from scratch", _COLORS[4], (0, (1, 1)), "P"),
    "random-nodes": Look("random nodes", _COLORS[2], "-", "X"),
    "shuffled": Look("shuffled mask", _COLORS[5], (0, (1, 1)), "*"),
    "untrained": Look("not retrained", "0.5", (0, (1, 1.5)), "_"),
}
# A branch that is missing above has a plain look.
LOOKS |= {name: Look(name.replace("-", " "), _COLORS[7], "-", "h") for name in names() if name not in LOOKS}
QUANTITIES = {**NETWORK_QUANTITIES, "correlation": "mean best correlation $\\bar\\rho$,\nmean over layers"}
LOGARITHMIC = ("loss",)


def pruned(results: Results) -> str:
    """A sentence on what was pruned, by which criterion, and from which width."""
    runs = [run for run in results.runs.values() if run.kind == "lottery"]
    ways = dict.fromkeys((run.settings.pruning.granularity, run.settings.pruning.criterion) for run in runs)
    sizes = dict.fromkeys(run.trained.settings.student.multiplier for run in runs)
    what = " or ".join(f"{granularity} by {LABELS.get(criterion, criterion)}" for granularity, criterion in ways)
    return f"Pruned: {what}, of students of {', '.join(map(str, sizes))} times the teacher's width."


def shown(results: Results) -> list[str]:
    """The quantities that figures draw: the loss, and accuracy where samples have labels, else ρ̄."""
    return ["loss", "correlation" if results.select("accuracy").empty else "accuracy"]


def by_seed(results: Results, variant: str, branch: str, quantity: str) -> pd.DataFrame:
    """A quantity of a branch: index seed, a column an epoch. A quantity by layer is averaged over layers.

    Where there is a dense network, losses are divided by the dense final loss, seed by seed: teachers differ in size.
    """
    wide = _raw(results, variant, branch, quantity)
    if quantity == "loss" and (dense := dense_variant(results)):
        return wide.div(_raw(results, dense, "dense", quantity).iloc[:, -1], axis=0)
    return wide


def _raw(results: Results, variant: str, branch: str, quantity: str) -> pd.DataFrame:
    rows = results.select(quantity)
    rows = rows[(rows["variant"] == variant) & (rows["branch"] == branch)]
    return rows.pivot_table(index="seed", columns="epoch", values="value", dropna=False)


def axis_label(results: Results, quantity: str) -> str:
    """The label of the axis of a quantity."""
    if quantity == "loss" and dense_variant(results):
        return "evaluation loss over\ndense network's final one"
    return QUANTITIES[quantity]


def interval(values: pd.Series, quantity: str) -> Effect:
    """Mean over seeds with a 95 % interval.

    Where the axis is logarithmic, both are of logarithms, and turned back. Fewer than FEWEST seeds have no interval.
    """
    effect = mean_effect(np.log(values) if quantity in LOGARITHMIC else values)
    if effect.seeds < FEWEST:
        effect = Effect(effect.estimate, np.nan, np.nan, effect.seeds)
    if quantity not in LOGARITHMIC:
        return effect
    return Effect(*np.exp([effect.estimate, effect.low, effect.high]), effect.seeds)


def branches(results: Results) -> list[str]:
    """The branches in the results, in the order of the legend."""
    present = set(results.table["branch"])
    return [name for name in LOOKS if name in present]


def dense_variant(results: Results) -> str | None:
    """The variant with the dense network, which other panels show as a level; None without."""
    variants = results.table.loc[results.table["branch"] == "dense", "variant"].unique()
    return variants[0] if len(variants) else None


def legend(figure: Figure, names: Iterable[str]) -> None:
    """Draw one legend for the whole figure, above the panels."""
    handles = [
        plt.Line2D(
            [],
            [],
            color=LOOKS[name].color,
            ls=LOOKS[name].line,
            marker=LOOKS[name].marker,
            ms=4,
            label=LOOKS[name].name,
        )
        for name in names
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=int(figure.get_figwidth() / 1.75), fontsize=8)
