"""Layout ``changes``: usual settings against changed settings, a column a label of the axis ``figure.columns``.

The first variant has the usual settings. Other variants of its label change the settings of the other axes alone.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.drawing.style import LAYER_COLORS, LINES, NETWORK_COLOR, QUANTITIES, footer, label_name, layer_legend
from luckmatters.judging.curves import mean_over_layers
from luckmatters.judging.statistics import mean_effect
from luckmatters.judging.variants import this
from luckmatters.kinds.student_training.claims.notes import greatest_rise, lost
from luckmatters.tables.results import Results

USUAL = {"lw": 3.5, "alpha": 0.3, "solid_capstyle": "butt"}  # wide and pale, below what is compared
MARKS = ("—", "···", "–·–")  # of LINES, in titles


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Upper row: ρ̄ by layer, mean over seeds; lower row: the loss of each seed."""
    axis = results.experiment.figure.columns
    usual, *others = results.runs
    columns: dict[str, list[str]] = {}
    for variant in others:
        columns.setdefault(results.labels[variant][axis], []).append(variant)
    figure, grid = plt.subplots(
        2, len(columns), figsize=(7.0, 5.4), squeeze=False, sharex=True, sharey="row", layout="constrained"
    )
    for (above, below), variants in zip(grid.T, columns.values(), strict=True):
        overlap(above, results, usual, variants)
        losses(below, results, usual, variants)
        below.set_xlabel("epoch")
    grid[0, 0].set(ylabel=QUANTITIES["correlation"], ylim=(0, 1.02))
    grid[1, 0].set(ylabel="evaluation loss over\nloss before training", yscale="log")
    layers = sorted(int(layer) for layer in results.select("correlation")["layer"].unique())
    entry = plt.Line2D([], [], color="0.3", label="usual settings", **USUAL)
    layer_legend(figure, layers, published=False, others=[entry])
    figure.legends[0].set_title(results.experiment.question, prop={"size": 8.5})
    footer(
        figure,
        results,
        f"Wide and pale: {named(results, usual, 'usual settings,')}.",
        "Above: mean over seeds; numbers: final ρ̄, mean over layers, less that of usual settings, with a 95 % interval "
        "over seeds. Below: every seed; rise: by what factor the loss rises at most above its lowest level so far "
        f"(usual: {rise(results, usual)}), geometric mean over seeds, training losses included.",
    )
    return figure


def named(results: Results, variant: str, mark: str) -> str:
    """A variant's labels but for the first axis, behind the mark of its line style."""
    _, *labels = results.labels[variant].values()
    return f"{mark} {', '.join(label_name(results, label) for label in labels)}"


def overlap(axes: Axes, results: Results, usual: str, variants: Sequence[str]) -> None:
    """Draw ρ̄ of each layer over epochs, and write in the title by how much it ends higher than with usual settings."""
    label = next(iter(results.labels[variants[0]].values()))
    lines = [label_name(results, label)]
    for variant, look in styles(usual, variants).items():
        for layer, curve in mean_curves(results, variant).items():
            axes.plot(curve.index, curve, color=LAYER_COLORS[layer], **look)
    for variant, mark in zip(variants, MARKS, strict=False):
        change = -mean_over_layers(lost(results, this(results, variant), this(results, usual)))
        effect = mean_effect(change)
        limits = "too few seeds" if np.isnan(effect.low) else f"[{effect.low:+.2f}, {effect.high:+.2f}]"
        lines += [named(results, variant, mark), f"{effect.estimate:+.3f} {limits}"]
    axes.set_title("\n".join(lines).replace("-", "−"), fontsize=7.5)
    axes.tick_params(labelsize=7)
    axes.xaxis.set_major_locator(plt.MaxNLocator(integer=True, nbins=5))


def losses(axes: Axes, results: Results, usual: str, variants: Sequence[str]) -> None:
    """Draw the evaluation loss of each seed over epochs, as a share of the loss before training."""
    for variant, look in styles(usual, variants).items():
        rows = results.select("loss", this(results, variant))
        for _, loss in rows.pivot(index="epoch", columns="seed", values="value").items():
            axes.plot(loss.index, loss / loss.loc[0], color=NETWORK_COLOR, **(look | {"lw": look["lw"] / 2}))
    rises = [f"{mark} rise {rise(results, variant)}" for variant, mark in zip(variants, MARKS, strict=False)]
    axes.set_title("\n".join(rises), fontsize=7.5)
    axes.tick_params(which="both", labelsize=7)


def rise(results: Results, variant: str) -> str:
    """The factor by which the loss of a variant rises above its lowest level so far, geometric mean over seeds."""
    return f"{np.exp(greatest_rise(results, this(results, variant)).mean()):.3g}"


def styles(usual: str, variants: Sequence[str]) -> dict[str, dict]:
    """The look of the lines of each variant in a panel, the usual variant first, below the others."""
    return {usual: USUAL} | {variant: {"lw": 1.4, "ls": line} for variant, line in zip(variants, LINES, strict=False)}


def mean_curves(results: Results, variant: str) -> pd.DataFrame:
    """ρ̄ of a variant, mean over seeds: a row for each epoch, a column for each layer."""
    rows = results.select("correlation", this(results, variant))
    return rows.groupby(["epoch", "layer"])["value"].mean().unstack("layer")
