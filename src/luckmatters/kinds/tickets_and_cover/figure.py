"""Layout ``tickets-and-cover``: best initial overlaps, their prediction, and the teacher nodes that are found."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.drawing.style import LAYER_COLORS, footer, headline, layer_name
from luckmatters.kinds.tickets_and_cover.tables import multipliers, nodes
from luckmatters.learning.shapes import student_widths
from luckmatters.science.extremes import best_direction
from luckmatters.tables.results import Results

FINE = 4  # pools of so many students or more give quantiles that are fine enough to draw
BINS = 4  # of equally many teacher nodes, for the share that is found by best initial overlap
PREDICTION = {"color": "0.15", "lw": 1, "ls": "--"}
DIRECTIONS = {"color": "0.15", "lw": 1.2, "ls": ":"}
LABELS = (
    "mean best\ninitial ρ",
    "share of teacher\nnodes at or below",
    "share found\nat the end",
    "share with a\nclose student",
)
AXES = ("multiplier m", "predicted quantile", "best initial ρ", "epoch")


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Columns: layers, lowest first. Rows: tickets by m, their distribution, found by ticket, cover."""
    table, sizes = nodes(results), multipliers(results)
    settings = next(iter(results.runs.values())).settings
    layers = sorted(int(layer) for layer in table["layer"].unique())
    colors = dict(zip(sizes.values(), sns.color_palette("viridis_r", len(sizes) + 1)[1:], strict=True))
    figure, grid = plt.subplots(
        4, len(layers), figsize=(7, 8.4), squeeze=False, sharey="row", layout="constrained"
    )  # fmt: skip
    for column, layer in zip(grid.T, layers, strict=True):
        own = table[table["layer"] == layer]
        tickets(column[0], own, layer)
        for m, color in colors.items():
            part = own[own["multiplier"] == m]
            if settings.pool >= FINE * m:
                column[1].plot(*quantiles(part["luck"]), color=color, lw=1.2)
            column[2].plot(*by_ticket(part), color=color, lw=1.2, marker="o", ms=3)
        cover(column[3], results, layer, colors)
        column[1].plot([0, 1], [0, 1], **PREDICTION)
        column[0].set_title(layer_name(layer), fontsize=8.5)
    directions(grid[0, 0], results, sizes)
    for row, label, name in zip(grid, LABELS, AXES, strict=True):
        row[0].set_ylabel(label, fontsize=8)
        for axes in row:
            axes.set_xlabel(name, fontsize=8)
            axes.tick_params(labelsize=7)
    for row in grid[1:]:
        row[0].set_ylim(-0.03, 1.03)
    legend(figure, colors)
    headline(figure, results.experiment.question)
    footer(
        figure, results,
        "Best initial ρ: the greatest ρ of a teacher node with a student node before training. First row: mean over "
        "teacher nodes, bars are the range over seeds; predicted from as many independent draws of single overlaps, "
        "and in the lowest layer from random directions. Second row: where each best initial ρ lies in its predicted "
        f"distribution; on the diagonal the prediction holds. Third row: {BINS} groups of equally many teacher nodes "
        f"of all seeds. Last row: share of teacher nodes with a student node of ρ above {settings.level:g}, mean over "
        "seeds; a mark at the end is the share found, for which that student node must also contribute.",
    )  # fmt: skip
    return figure


def tickets(axes: Axes, table: pd.DataFrame, layer: int) -> None:
    """Draw the mean best initial ρ of a layer against m, with the range over seeds, and the predicted mean."""
    by_seed = table.groupby(["multiplier", "seed"])[["ticket", "predicted_ticket"]].mean().groupby("multiplier")
    mean, low, high = by_seed.mean(), by_seed["ticket"].min(), by_seed["ticket"].max()
    axes.errorbar(
        mean.index, mean["ticket"], yerr=[mean["ticket"] - low, high - mean["ticket"]], color=LAYER_COLORS[layer],
        fmt="o", ms=3.5, lw=1,
    )  # fmt: skip
    axes.plot(mean.index, mean["predicted_ticket"], **PREDICTION)
    axes.set_xscale("log")
    axes.set_xticks(mean.index, [f"{m:g}" for m in mean.index])
    axes.minorticks_off()


def directions(axes: Axes, results: Results, sizes: dict[str, int]) -> None:
    """Draw the mean best ρ of random directions in the lowest layer against m."""
    runs = [results.runs[variant] for variant in sizes]
    best = [best_direction(student_widths(run)[0], run.teacher.shape[0]) for run in runs]
    axes.plot(list(sizes.values()), best, **DIRECTIONS)


def quantiles(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """The sorted values, and the share of values at or below each."""
    return np.sort(values), np.arange(1, len(values) + 1) / len(values)


def by_ticket(table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The mean best initial ρ and the found share of BINS groups of teacher nodes, worst tickets first."""
    known = table.dropna(subset="found")
    groups = known.groupby(pd.qcut(known["ticket"].rank(method="first"), BINS, labels=False))
    return groups["ticket"].mean(), groups["found"].mean()


def cover(axes: Axes, results: Results, layer: int, colors: dict[int, tuple]) -> None:
    """Draw the share of a layer's teacher nodes with a close student over epochs, and the found share at the end."""
    for variant, m in multipliers(results).items():
        rows = results.table[(results.table["variant"] == variant) & (results.table["layer"] == layer)]
        by_epoch = {name: part.groupby("epoch")["value"].mean() for name, part in rows.groupby("quantity")}
        axes.plot(by_epoch["cover"].index, by_epoch["cover"], color=colors[m], lw=1.2)
        axes.plot(by_epoch["found"].index, by_epoch["found"], color=colors[m], marker="D", ms=3.5, ls="none", mew=0)
    axes.set_xscale("symlog", linthresh=1)
    axes.xaxis.set_major_formatter("{x:g}")


def legend(figure: Figure, colors: dict[int, tuple]) -> None:
    """Draw one legend for multipliers, predictions and marks, above the panels."""
    handles = [plt.Line2D([], [], color=color, lw=2, label=f"m = {m}") for m, color in colors.items()]
    handles += [
        plt.Line2D([], [], **PREDICTION, label="predicted: independent draws"),
        plt.Line2D([], [], **DIRECTIONS, label="predicted: random directions"),
        plt.Line2D([], [], color="0.3", marker="D", ms=3.5, ls="none", mew=0, label="found, at the end"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=7)
