"""Layout ``modulation``: |β*|ᵀ before and after training, |H*|ᵀ after, and the mass on their diagonals (Section 5)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from luckmatters.drawing.style import LAYER_COLORS, footer, layer_name
from luckmatters.tables.results import Results

SHOWN = 3  # students that are drawn for each teacher node; all students would have a pixel each
NAMES = {"beta_star": "β*", "h_star": "H*"}


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Rows: layers, lowest first. Left: matrices of the first seed; right: mass on matches, by seed."""
    (variant, jobs), *_ = results.tensors.items()
    tensors, table = jobs[0], results.table[results.table["variant"] == variant]
    last, multiplier = int(table["epoch"].max()), results.runs[variant].trained.settings.student.multiplier
    layers = sorted(int(layer) for layer in table["layer"].unique())
    figure, grid = plt.subplots(
        len(layers), 4, figsize=(9.2, 1.5 + 1.45 * len(layers)), squeeze=False, layout="constrained",
        gridspec_kw={"width_ratios": [3, 3, 3, 2.2]},
    )  # fmt: skip
    for row, layer in zip(grid, layers, strict=True):
        for axes, (name, epoch, when) in zip(row, panels_of(last), strict=False):
            matrix = np.abs(tensors[f"{name}/{epoch}/{layer}"][0]).T  # (n°, n)
            image = heatmap(axes, matrix)
            figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02).ax.tick_params(labelsize=6)
            axes.set_title(f"|{NAMES[name]}|ᵀ {when} training, {layer_name(layer)}", fontsize=7.5)
        row[0].set_ylabel("teacher node", fontsize=8)
        shares(row[3], table[table["layer"] == layer], last, layer, matrix.shape[0] * multiplier)
    for axes in grid[-1][:3]:
        axes.set_xlabel("student node, reordered", fontsize=8)
    handles = [
        plt.Line2D([], [], ls="", marker=marker, color="0.3", mfc=fill, ms=4, label=f"{NAMES[name]} (right column)")
        for name, marker, fill in (("beta_star", "o", "none"), ("h_star", "D", "0.3"))
    ]
    figure.legend(handles=handles, fontsize=7.5, loc="outside upper right", ncols=2)
    run = results.runs[variant]
    footer(
        figure,
        results,
        f"Trained for {last} epochs; means over {run.settings.samples:,} samples, then absolute values; first seed.",
        "Each teacher node's best student comes first (one to one, by ρ at the end; before training in the same "
        f"order); the first {SHOWN} students for each teacher node are shown, of "
        f"{multiplier}.",
        "Right: share of each teacher node's mass, over all students, that is its match's (mean over teacher nodes; a "
        "point a seed); dotted: equal shares.",
    )
    return figure


def drawn(jobs: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """What the figure draws of the jobs' tensors: the panels' matrices of the first seed, SHOWN · n° students each.

    jobs: tensors of each job, ``<matrix>/<epoch>/<layer>`` (S, n, n°).
    """
    last = max(int(name.split("/")[1]) for name in jobs[0])
    panels = {(name, str(epoch)) for name, epoch, _ in panels_of(last)}
    shown = {
        name: matrix[:1, : SHOWN * matrix.shape[2]]
        for name, matrix in jobs[0].items()
        if tuple(name.split("/")[:2]) in panels
    }
    return [shown, *({} for _ in jobs[1:])]


def panels_of(last: int) -> list[tuple[str, int, str]]:
    """Matrix, epoch and time in words of each column; last: the last epoch."""
    return [("beta_star", 0, "before"), ("beta_star", last, "after"), ("h_star", last, "after")]


def heatmap(axes: Axes, matrix: np.ndarray) -> object:
    """Draw a matrix (n°, n) as an image, of the first SHOWN · n° students."""
    nodes = matrix.shape[0]
    image = axes.imshow(matrix[:, : SHOWN * nodes], aspect="auto", cmap="viridis", interpolation="nearest", vmin=0)
    axes.axvline(nodes - 0.5, color="w", lw=0.7, ls=":")
    axes.grid(False)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=6.5)
    return image


def shares(axes: Axes, rows: pd.DataFrame, last: int, layer: int, students: int) -> None:
    """Draw the share of mass on matched students before and after training, a point a seed.

    students: number of students of the layer.
    """
    for offset, (name, marker) in zip((-0.12, 0.12), zip(NAMES, ("o", "D"), strict=True), strict=True):
        wide = rows[rows["quantity"] == f"{name}_share"].pivot(index="epoch", columns="seed", values="value")
        for x, epoch in enumerate((0, last)):
            values = wide.loc[epoch]
            axes.plot(
                np.full(len(values), x + offset), values, marker, ms=4, color=LAYER_COLORS[layer],
                mfc="none" if name == "beta_star" else LAYER_COLORS[layer],
            )  # fmt: skip
    axes.set_xticks([0, 1], ["before", "after"], fontsize=7.5)
    axes.axhline(1 / students, color="0.4", lw=0.8, ls=":")
    axes.set(xlim=(-0.5, 1.5), ylim=(0, 1.12 * axes.dataLim.y1))
    axes.set_ylabel("share on match", fontsize=7.5)
    axes.tick_params(axis="y", labelsize=6.5)
