"""Layout ``carriers``: the nodes that carry what students have learned, set by set, at the same training error."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.drawing.style import LAYER_COLORS, headline, label_name, layer_legend, note, origin, settings
from luckmatters.judging.statistics import mean_effect
from luckmatters.learning.shapes import student_widths
from luckmatters.tables.results import Results

# Quantity → the axis's name; those of layers first, then those of whole networks with their colours.
LAYERED = {
    "nodes": "effective number of nodes",
    "essential": "essential nodes",
    "students_per_teacher": "student nodes for\neach teacher node",
}
WHOLE = {"training_error": ("training error", "0.55"), "test_error": ("test error", "0.1")}
SHIFT = 0.13  # between the marks of two layers, where sets are 1 apart


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Across: training sets; panels: quantities of layers, and errors; bars are 95 % intervals."""
    variants = list(results.runs)
    figure, grid = plt.subplots(2, 2, figsize=(7.0, 6.4), sharex=True, layout="constrained")
    panels = dict(zip([*LAYERED, "errors"], grid.flat, strict=True))
    layers = sorted(int(layer) for layer in results.select("nodes")["layer"].unique())
    for quantity, name in LAYERED.items():
        for layer in layers:
            at = SHIFT * (layer - (len(layers) - 1) / 2)
            marks(panels[quantity], results, quantity, layer, at, LAYER_COLORS[layer])
        panels[quantity].set(ylabel=name, ylim=(0, None))
    for quantity, (_, color) in WHOLE.items():
        marks(panels["errors"], results, quantity, None, 0, color)
    panels["errors"].set(yscale="log", ylabel="error (share of the best\nconstant output's loss)")
    panels["errors"].axhline(1, color="0.4", lw=0.8, ls=":")
    panels["students_per_teacher"].axhline(1, color="0.4", lw=0.8, ls=":")
    untrained(panels["nodes"], results, layers)
    images = [variant for variant in variants if results.runs[variant].trained.settings.data.kind == "cifar10"]
    for axes in grid.flat:
        axes.set_xticks(range(len(variants)), [label_name(results, *results.labels[v].values()) for v in variants])
        axes.tick_params("x", labelsize=7.5, rotation=50)
        plt.setp(axes.get_xticklabels(), ha="right", rotation_mode="anchor")
        axes.grid(False, axis="x")
        if images and len(images) < len(variants):
            axes.axvline(variants.index(images[0]) - 0.5, color="0.6", lw=0.8)
    handles = [plt.Line2D([], [], color="0.3", ls="", marker="_", ms=8, label="before training")]
    handles += [plt.Line2D([], [], color=c, ls="", marker="o", ms=4, label=name) for name, c in WHOLE.values()]
    layer_legend(figure, layers, published=False, others=handles)
    headline(figure, results.experiment.question)
    run = next(iter(results.runs.values()))
    widths = "-".join(map(str, student_widths(run)[:-1]))
    note(
        figure,
        f"{origin(results)} {settings(results)} Students {widths}, each at the first epoch with a training error of "
        f"{run.trained.settings.fitted:g} or less. Points: mean over seeds that come there, bars: 95 % intervals. "
        "Effective number: participation ratio of squared fan-out norm times mean squared activation. Essential: "
        f"without the node the training loss rises by more than {run.settings.rise:.0%}. Student nodes for each "
        "teacher node: effective number over that of the teacher nodes that they are closest to (of permuted sets: of "
        "the teacher before).",
    )
    return figure


def marks(axes: Axes, results: Results, quantity: str, layer: int | None, shift: float, color: object) -> None:
    """Draw means over seeds with 95 % intervals, a mark a set."""
    rows = results.select(quantity)
    rows = rows[rows["layer"].isna()] if layer is None else rows[rows["layer"] == layer]
    effects = [mean_effect(rows.loc[rows["variant"] == variant, "value"]) for variant in results.runs]
    middle = np.array([effect.estimate for effect in effects])
    half = np.nan_to_num([effect.high - effect.estimate for effect in effects])
    axes.errorbar(
        np.arange(len(effects)) + shift, middle, yerr=half, color=color, ls="", marker="o", ms=4, elinewidth=1.2
    )


def untrained(axes: Axes, results: Results, layers: list[int]) -> None:
    """Draw the effective numbers before training as short lines, a mean over seeds."""
    rows = results.select("nodes_untrained").groupby(["variant", "layer"])["value"].mean()
    for place, variant in enumerate(results.runs):
        for layer in layers:
            x = place + SHIFT * (layer - (len(layers) - 1) / 2)
            axes.plot(x, rows.get((variant, layer)), color=LAYER_COLORS[layer], ls="", marker="_", ms=8)
