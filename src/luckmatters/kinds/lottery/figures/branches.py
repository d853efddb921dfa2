"""How the branches of lottery experiments are drawn: the same colour, line and marker in every figure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter

from luckmatters.drawing.style import NETWORK_QUANTITIES
from luckmatters.judging.statistics import Effect, mean_effect
from luckmatters.kinds.lottery.branches import names
from luckmatters.settings.experiment import Run
from luckmatters.tables.results import Results

_COLORS = sns.color_palette("colorblind")


@dataclass(frozen=True)
class Look:
    """A branch's name in words and how its line is drawn."""

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
# A branch that is new has the plainest look until it is given another.
LOOKS |= {name: Look(name.replace("-", " "), _COLORS[7], "-", "h") for name in names() if name not in LOOKS}
QUANTITIES = {**NETWORK_QUANTITIES, "correlation": "mean best correlation $\\bar\\rho$,\nmean over layers"}
LOGARITHMIC = ("loss",)
FEWEST = 3  # seeds that an interval is drawn for: that of two is as wide as any figure


def pruned(results: Results) -> str:
    """What was pruned, and by what, in a sentence."""
    runs = [run for run in results.runs.values() if run.kind == "lottery"]
    ways = dict.fromkeys((run.settings.pruning.granularity, run.settings.pruning.criterion) for run in runs)
    sizes = dict.fromkeys(run.trained.settings.student.multiplier for run in runs)
    said = " or ".join(f"{granularity} by {criterion}" for granularity, criterion in ways)
    return f"Pruned: {said}, of students of {', '.join(map(str, sizes))} times the teacher's width."


def shown(results: Results) -> list[str]:
    """The quantities that are drawn: the loss, and accuracy where samples have labels, else ρ̄."""
    return ["loss", "correlation" if results.select("accuracy").empty else "accuracy"]


def by_seed(results: Results, variant: str, branch: str, quantity: str) -> pd.DataFrame:
    """A quantity of a branch, the mean over layers where it is by layer: index seed, a column an epoch.

    Losses are divided by the dense network's final one, seed by seed, where there is one: teachers differ in size.
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
    """What the axis of a quantity says."""
    if quantity == "loss" and dense_variant(results):
        return "evaluation loss over\ndense network's final one"
    return QUANTITIES[quantity]


def interval(values: pd.Series, quantity: str) -> Effect:
    """Mean over seeds with its 95 % interval; of logarithms, and turned back, where the axis is logarithmic."""
    found = mean_effect(np.log(values) if quantity in LOGARITHMIC else values)
    if found.seeds < FEWEST:
        found = Effect(found.estimate, np.nan, np.nan, found.seeds)
    if quantity not in LOGARITHMIC:
        return found
    return Effect(*np.exp([found.estimate, found.low, found.high]), found.seeds)


def branches(results: Results) -> list[str]:
    """The branches that there are, in the order of the legend."""
    found = set(results.table["branch"])
    return [name for name in LOOKS if name in found]


def dense_variant(results: Results) -> str | None:
    """The variant that has the dense network, which other panels show as a level."""
    found = results.table.loc[results.table["branch"] == "dense", "variant"].unique()
    return found[0] if len(found) else None


def steps_an_epoch(run: Run) -> int:
    """Training steps of an epoch of the run that was pruned, and of its branches."""
    trained = run.trained.settings
    return math.ceil(trained.data.samples_per_epoch / trained.training.batch)


def plain_log(axes: Axes) -> None:
    """A logarithmic axis with plain numbers, between powers of ten too where there would be too few."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    few = high / low < 30
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if high / low < 3:
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, names: Iterable[str]) -> None:
    """One legend for the whole figure, above the panels."""
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
