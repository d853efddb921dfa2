"""Layout ``layer-by-layer``: loss, nodes needed and match of students trained from below and end to end, by depth."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from luckmatters.drawing.overlap import level
from luckmatters.drawing.style import footer
from luckmatters.judging.curves import at, curve
from luckmatters.judging.statistics import Effect, mean_effect
from luckmatters.judging.variants import EVERY, multiplier, one
from luckmatters.kinds.layer_by_layer.claims import (
    END_TO_END,
    EQUAL,
    FROM_BELOW,
    depths,
    final,
    hidden,
    log_losses,
    match,
    multipliers,
    needed,
    of_way,
    times_the_nodes,
)
from luckmatters.tables.results import Results

FAR = 10  # times the nodes, which the claim takes as far more


@dataclass(frozen=True)
class Look:
    """A way's name in words, colour and marker."""

    name: str
    color: object
    marker: str


_COLORS = sns.color_palette("colorblind")
LOOKS = {
    "end-to-end": Look("end to end", "0.1", "s"),
    "local-readout": Look("a local readout of the outputs", _COLORS[3], "o"),
    "reconstruction": Look("a reconstruction of the inputs", _COLORS[9], "^"),
    "random": Look("random hidden layers", _COLORS[4], "D"),
}


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Columns: numbers of hidden layers; rows: loss over width, nodes needed, match of each layer."""
    columns = depths(results, EVERY)
    figure, grid = plt.subplots(
        3, len(columns), figsize=(7.0, 7.6), squeeze=False, sharex="row", sharey="row", layout="constrained"
    )
    for (above, middle, below), depth in zip(grid.T, columns, strict=True):
        above.set_title(f"{depth} hidden layer{'s' * (depth > 1)}", fontsize=8.5)
        losses(above, results, depth)
        times(middle, results, depth)
        overlaps(below, results, depth)
    labels = "loss over that of\nend to end, m = 1", "times the nodes needed\nfor the same loss", "final $\\bar\\rho$"
    for axes, label in zip(grid[:, 0], labels, strict=True):
        axes.set_ylabel(label, fontsize=8)
    for axes in grid.flat:
        axes.tick_params(labelsize=7.5)
    legend(figure, heading(results, columns[-1]))
    footer(
        figure, results,
        "Mean over seeds (of logs for losses and nodes), 95 % interval; each seed has its own teacher.",
        "Equal nodes, equal steps; readouts of layers of their own do not count as nodes.",
        "Above: divided seed by seed; dotted, the best readout on the same hidden layers (least squares).",
        "Middle: how many times the end-to-end student's nodes a student from below needs to reach the loss, with the "
        "best readout; open marks: lower bounds, since in some seeds the widest that was tried does not reach it.",
        f"Below: m = {equal_multiplier(results, columns[-1])}.",
    )  # fmt: skip
    return figure


def equal_multiplier(results: Results, depth: int) -> int:
    """The multiplier at which layers are compared: that of the claim, or the largest that was trained end to end."""
    tried = multipliers(results, END_TO_END, depth)
    return EQUAL if EQUAL in tried else tried[-1]


def bar(axes: Axes, x: float, effect: Effect, look: Look, *, bound: bool = False) -> None:
    """Draw a mean with its interval; a lower bound as an open mark, with the interval downward."""
    errors = [[effect.estimate - effect.low], [0 if bound else effect.high - effect.estimate]]
    axes.errorbar(
        x, effect.estimate, yerr=np.nan_to_num(errors), color=look.color, marker=look.marker, ms=4, elinewidth=0.8,
        capsize=1.5, mfc="white" if bound else look.color,
    )  # fmt: skip


def losses(axes: Axes, results: Results, depth: int) -> None:
    """Draw final losses over the multiplier, as shares of that of the end-to-end student of m = 1."""
    unit = log_losses(results, "loss", END_TO_END, depth, 1)
    for way, look in LOOKS.items():
        tried = multipliers(results, way, depth)
        for quantity, line in (("loss", "-"), ("readout_loss", ":"))[: 1 + (way in FROM_BELOW)]:
            effects = [mean_effect(log_losses(results, quantity, way, depth, m) - unit) for m in tried]
            axes.plot(tried, [np.exp(effect.estimate) for effect in effects], color=look.color, ls=line, lw=1.2)
            if quantity == "loss":
                for m, effect in zip(tried, effects, strict=True):
                    ends = np.exp([effect.estimate, effect.low, effect.high])
                    bar(axes, m, Effect(*ends, effect.seeds), look)
    axes.axhline(1, color="0.4", lw=0.8, ls=":")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    width_axis(axes, multipliers(results, FROM_BELOW[0], depth), "multiplier m")


def times(axes: Axes, results: Results, depth: int) -> None:
    """Draw how many times the nodes students from below need, over the multiplier of the end-to-end student."""
    theirs = multipliers(results, END_TO_END, depth)
    for number, way in enumerate(FROM_BELOW):
        apart, look, means = 1.06 ** (number - 1), LOOKS[way], []
        for m in theirs:
            found = needed(results, way, depth, m)
            effect = times_the_nodes(found, m)
            bar(axes, m * apart, effect, look, bound=not found["reached"].all())
            means.append(effect.estimate)
        axes.plot(np.array(theirs) * apart, means, color=look.color, lw=1.2)
    level(axes, [1], "equal nodes", above=False)
    level(axes, [FAR], "ten times", above=True)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    width_axis(axes, theirs, "m of the end-to-end student")


def width_axis(axes: Axes, ticks: Sequence[int], label: str) -> None:
    """Make the horizontal axis one of multipliers."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_xlabel(label, fontsize=8)


def overlaps(axes: Axes, results: Results, depth: int) -> None:
    """Draw final ρ̄ of each layer, and ρ̄ before training."""
    m = equal_multiplier(results, depth)
    for number, (way, look) in enumerate(LOOKS.items()):
        found = final(results, "correlation", way, depth, m)
        effects = [mean_effect(found[layer]) for layer in found]
        x = found.columns.to_numpy(float) + 0.05 * (number - 1.5)
        axes.plot(x, [effect.estimate for effect in effects], color=look.color, lw=1.2)
        for place, effect in zip(x, effects, strict=True):
            bar(axes, place, effect, look)
    before = at(curve(of_way(results, END_TO_END), which=one(hidden(depth) & multiplier(m))), 0).mean()
    axes.plot(before.index.to_numpy(float), before, color="0.5", lw=0.9, ls=(0, (1, 1.2)), marker="_")
    axes.set(ylim=(0, 1.02), xlim=(-0.3, max(depths(results, EVERY)) - 0.7))
    axes.xaxis.set_major_locator(FixedLocator(range(max(depths(results, EVERY)))))
    axes.set_xlabel("layer (0: lowest)", fontsize=8)


def heading(results: Results, depth: int) -> str:
    """The sentence that the figure tests, and where it does not hold, on students of the deepest teacher."""
    differences = match(results, hidden(depth), equal_multiplier(results, depth))
    layers = {(way, layer): mean_effect(table[layer]) for (_, way), table in differences.items() for layer in table}
    equal = [effect for effect in layers.values() if not effect.low > 0]
    few = {way: times_the_nodes(needed(results, way, depth), 1) for way in FROM_BELOW}
    few = {way: effect for way, effect in few.items() if not effect.low > FAR}
    text = "Trained bottom up, layers do not match the teacher's as they do end to end"
    if equal:
        text += f" (not so in {len(equal)} of {len(layers)} cases)"
    text += f", and it takes more than {FAR} times the nodes for the same loss"
    if few:
        found = (f"{effect.estimate:.2g} with {LOOKS[way].name}" for way, effect in few.items())
        text += f" — not so: {', '.join(found)}"
    return textwrap.fill(text, 84)


def legend(figure: Figure, heading: str) -> None:
    """Draw one legend for the ways and lines, below the heading."""
    handles = [
        plt.Line2D([], [], color=look.color, marker=look.marker, ms=4, lw=1.2, label=look.name)
        for look in LOOKS.values()
    ]
    handles += [
        plt.Line2D([], [], color="0.3", lw=1.2, ls=":", label="best readout"),
        plt.Line2D([], [], color="0.3", marker="o", mfc="white", ls="none", ms=4, label="lower bound"),
        plt.Line2D([], [], color="0.5", lw=0.9, ls=(0, (1, 1.2)), marker="_", label="before training"),
    ]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=4, fontsize=7.5, title=heading, title_fontsize=9.5,
        alignment="left",
    )  # fmt: skip
