"""Layout ``luck-speed``: times to converge by initial overlap, and students per teacher node (Section 4)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from luckmatters.drawing.style import LAYER_COLORS, LINES, footer, layer_name
from luckmatters.kinds.luck_speed.claims import rank_correlation
from luckmatters.tables.results import Results

QUARTILES = ("lowest quarter", "second", "third", "uppermost quarter")


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Rows: layers, lowest first; columns: share not converged, time against overlap, standing students."""
    variant, run = next(iter(results.runs.items()))
    table = results.table[results.table["variant"] == variant]
    layers = sorted(int(layer) for layer in table["layer"].dropna().unique())
    level, end = run.settings.levels[0], table["epoch"].max()
    nodes = by_node(table)
    figure, grid = plt.subplots(
        len(layers), 3, figsize=(9.2, 1.6 + 1.75 * len(layers)), squeeze=False, sharex="col", layout="constrained"
    )
    start = table.loc[table["epoch"] > 0, "epoch"].min()
    for row, layer in zip(grid, layers, strict=True):
        layer_nodes = nodes[nodes["layer"] == layer]
        waiting(row[0], layer_nodes, f"time_{level:g}", layer, start, end)
        cloud(row[1], layer_nodes, layer, start, end)
        counts(row[2], table[table["layer"] == layer], layer, start)
        row[0].set_title(layer_name(layer), fontsize=8.5, loc="left")
        row[0].set_ylabel(f"share of students\nwith ρ ≤ {level:g}", fontsize=8)
        row[1].set_ylabel("epochs until\nhalf way to 1", fontsize=8)
        row[2].set_ylabel("students per teacher\nnode; share found", fontsize=8)
    for axes in (grid[-1][0], grid[-1][2]):
        axes.xaxis.set_major_formatter("{x:g}")
    for axes, label in zip(grid[-1], ("epoch", "initial overlap ρ", "epoch"), strict=True):
        axes.set_xlabel(label)
    legend(figure)
    footer(
        figure,
        results,
        f"{run.settings.training.epochs} epochs; every student node, and the teacher node that it ends on.",
        "Left: mean over seeds by quarter of the initial ρ (within seed and layer); darker started closer.",
        "Middle: until ρ has come half its way from its start to 1; in the grey strip those that never do; "
        "r: Spearman's rank correlation, mean over seeds (0 for a seed whose times are all equal).",
        f"Right: students with ρ > {level:g}, of teacher nodes that have any; to stand for one takes a contribution "
        f"(fan-out norm times spread) of at least {run.settings.negligible:g} of the layer's greatest.",
    )
    return figure


def by_node(table: pd.DataFrame) -> pd.DataFrame:
    """A table with a row a student node that is alive at the end, and a column a quantity."""
    wide = table.dropna(subset="node").pivot(index=["seed", "layer", "node"], columns="quantity", values="value")
    return wide.dropna(subset="final_overlap").reset_index()


def shades(layer: int) -> list:
    """Four shades of a layer's colour, light to dark."""
    return sns.light_palette(LAYER_COLORS[layer], 5)[1:]


def waiting(axes: Axes, nodes: pd.DataFrame, time: str, layer: int, start: float, end: float) -> None:
    """Draw the share of students below the level against epochs, a curve a quartile of the initial overlap."""
    groups = nodes.groupby("seed")["initial_overlap"]
    quartile = groups.transform(lambda own: pd.qcut(own.rank(method="first"), 4, labels=False))
    moments = np.geomspace(start, end, 200)
    for index, color in enumerate(shades(layer)):
        chosen = nodes[quartile == index]
        curves = [(own[time].fillna(np.inf).to_numpy() > moments[:, None]).mean(1) for _, own in chosen.groupby("seed")]
        axes.plot(moments, np.mean(curves, axis=0), color=color, lw=1.6)
    axes.set_xscale("log")
    axes.set_ylim(-0.02, 1.04)


def cloud(axes: Axes, nodes: pd.DataFrame, layer: int, start: float, end: float) -> None:
    """Draw time to half way against initial overlap, a point a student; students that never arrive in a strip above."""
    time = nodes["time_half_way"]
    axes.axhspan(1.15 * end, 2 * end, color="0.9", lw=0)
    spread = np.random.default_rng(0).uniform(1.2, 1.9, len(nodes)) * end  # random heights in the strip
    axes.plot(
        nodes["initial_overlap"], time.fillna(pd.Series(spread, index=nodes.index)), ".", ms=1.5, alpha=0.35,
        color=LAYER_COLORS[layer], rasterized=True,
    )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(0.8 * start, 2 * end)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    ranks = [rank_correlation(part, "time_half_way") for _, part in nodes.groupby("seed")]
    axes.set_title(f"r = {np.nanmean(ranks):.2f}", fontsize=8, loc="right")


def counts(axes: Axes, rows: pd.DataFrame, layer: int, start: float) -> None:
    """Draw the numbers of standing students and of students above the level, and the share of found teacher nodes."""
    for quantity, line in (("standing", LINES[0]), ("passed", LINES[1]), ("found", LINES[2])):
        known = rows[(rows["quantity"] == quantity) & (rows["epoch"] >= start)].dropna(subset="value")
        mean = known.groupby("epoch")["value"].mean()
        axes.plot(mean.index, mean, color=LAYER_COLORS[layer], ls=line, lw=1.6)
    axes.set_xscale("log")
    axes.set_ylim(0, None)


def legend(figure: Figure) -> None:
    """Draw one legend for shades and line styles, above the panels."""
    grey = sns.light_palette("0.1", 5)[1:]
    handles = [plt.Line2D([], [], color=c, lw=2, label=name) for c, name in zip(grey, QUARTILES, strict=True)]
    names = ("standing: ρ and contribution", "by ρ alone", "share of teacher nodes found")
    handles += [plt.Line2D([], [], color="0.3", ls=ls, lw=1.5, label=n) for ls, n in zip(LINES, names, strict=True)]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=7.5)
