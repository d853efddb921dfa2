"""Layout ``co-activation``: joint firing of pairs of nodes against independent firing, a row a network."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.drawing.style import LAYER_COLORS, layer_name, note, origin, title
from luckmatters.tables.results import Results

BEFORE = "0.55"
MOST_POINTS = 2000  # greatest number of pairs of a layer that are drawn, from the first seeds on


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Rows: variants; columns: layers. A point is a pair of nodes, on the diagonal if independent."""
    variants = list(results.runs)
    layers = sorted(int(layer) for layer in results.table["layer"].unique())
    figure, grid = plt.subplots(
        len(variants), len(layers), figsize=(0.9 + 1.95 * len(layers), 1.3 + 2.1 * len(variants)),
        squeeze=False, sharex=True, sharey=True, layout="constrained",
    )  # fmt: skip
    for row, variant in zip(grid, variants, strict=True):
        row[0].set_ylabel(f"{title(results, variant)}\nP(both fire)", fontsize=8)
        for axes, layer in zip(row, layers, strict=True):
            panel(axes, results, variant, layer)
    for axes in grid[-1]:
        axes.set_xlabel("P(one fires) · P(other fires)", fontsize=8)
    handles = [
        plt.Line2D([], [], ls="", marker="o", ms=4, color=BEFORE, label="before training"),
        plt.Line2D([], [], ls="", marker="o", ms=4, color="0.1", label="after, or random (colour of the layer)"),
        plt.Line2D([], [], color="0.3", lw=0.8, label="independent"),
        plt.Line2D([], [], color="0.3", lw=0.8, ls=":", label="chance, 1/4"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=8)
    samples = " or ".join(dict.fromkeys(f"{run.settings.data.evaluation_samples:,}" for run in results.runs.values()))
    note(
        figure,
        f"{origin(results)} Measured on {samples} samples. Points: pairs of nodes of a layer (the first "
        f"{MOST_POINTS:,} over seeds); numbers: mean over pairs and seeds of P(both fire), before → after training, in "
        "brackets what independent nodes would have; share of BatchNorm biases that are negative after training.",
    )
    return figure


def drawn(jobs: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """What the figure draws of the jobs' tensors: the first seeds, until they have MOST_POINTS pairs.

    jobs: tensors of each job, ``joint/<epoch>/<layer>`` (S, n, n).
    """
    parts: list[dict[str, np.ndarray]] = [{} for _ in jobs]
    for name, first in jobs[0].items():
        nodes = first.shape[1]
        left = math.ceil(MOST_POINTS / max(1, nodes * (nodes - 1) // 2))
        for part, job in zip(parts, jobs, strict=True):
            part[name] = job[name][:left]
            left -= len(part[name])
    return parts


def panel(axes: Axes, results: Results, variant: str, layer: int) -> None:
    """Draw the pairs of nodes of a layer of a network, before and after training."""
    jobs = results.tensors[variant]
    epochs = sorted({int(name.split("/")[1]) for name in jobs[0]})
    for epoch in epochs:
        trained = epoch == epochs[-1]
        x, y = points(np.concatenate([job[f"joint/{epoch}/{layer}"] for job in jobs]))
        color = LAYER_COLORS[layer] if trained else BEFORE
        axes.plot(x, y, ls="", marker="o", ms=2.2, mew=0, alpha=0.55, color=color, rasterized=True)
    axes.plot([0, 1], [0, 1], color="0.3", lw=0.8)
    axes.axhline(0.25, color="0.3", lw=0.8, ls=":")
    rows = results.table[(results.table["variant"] == variant) & (results.table["layer"] == layer)]
    axes.set_title("\n".join(texts(rows, layer, epochs)), fontsize=7.5)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])


def points(joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P(both fire) of independent nodes and as measured, for the first MOST_POINTS pairs of nodes.

    joint: (S, n, n).
    """
    row, column = np.triu_indices(joint.shape[1], 1)
    fires = joint.diagonal(axis1=1, axis2=2)
    independent, together = fires[:, row] * fires[:, column], joint[:, row, column]
    return independent.ravel()[:MOST_POINTS], together.ravel()[:MOST_POINTS]


def texts(rows: pd.DataFrame, layer: int, epochs: list[int]) -> list[str]:
    """Two lines of text: layer and share of negative biases; mean joint firing, and in brackets if independent."""
    mean = rows.groupby(["quantity", "epoch"])["value"].mean()
    steps = [f"{mean['together', epoch]:.3f} ({mean['independent', epoch]:.3f})" for epoch in epochs]
    name = layer_name(layer)
    if "negative" in mean:
        name += f", {mean['negative', epochs[-1]] / mean['channels', epochs[-1]]:.0%} negative"
    return [name, " → ".join(steps)]
