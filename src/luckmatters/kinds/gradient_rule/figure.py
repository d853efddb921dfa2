"""Layout ``gradient-rule``: predicted against true gradients, and errors of the matrix forms (Section 4)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from luckmatters.drawing.style import LAYER_COLORS, LINES, footer, layer_legend
from luckmatters.tables.results import Results

LINED = {
    "matrix_form": "matrix form, H averaged",
    "recursive_matrix_form": "H made of averages",
    "matrix_form_teacher": "teacher's term alone, H averaged",
}


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Above: predicted against true gradients, a panel a saved epoch. Below: residual, cosine, norms."""
    (variant, jobs), *_ = results.tensors.items()
    table = results.table[results.table["variant"] == variant]
    epochs, layers = (sorted(int(value) for value in table[key].unique()) for key in ("epoch", "layer"))
    shown = [*epochs[:3], epochs[-1]] if len(epochs) > 4 else epochs
    figure = plt.figure(figsize=(9.2, 5.6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[1, 1])
    for axes, epoch in zip(upper.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        scatter(axes, jobs, epoch, layers)
        residual = table.query("quantity == 'residual' and epoch == @epoch")["value"].max()
        axes.set_title(f"epoch {epoch}: residual ≤ {residual:.0e}", fontsize=8)
        axes.set_xlabel("true gradient of a node", fontsize=8)
    upper.axes[0].set_ylabel("predicted by the rule", fontsize=8)
    panels = lower.subplots(1, 3)
    through_training(panels[0], table, "residual", "-")
    panels[0].set_yscale("log")
    panels[0].set_ylim(1e-17, 1e-9)
    panels[0].axhline(1e-10, color="0.4", lw=0.8, ls=":")
    panels[0].set_ylabel("|predicted − true| / |true|", fontsize=8)
    for form, line in zip(LINED, LINES, strict=True):
        through_training(panels[1], table, f"{form}_cosine", line)
        through_training(panels[2], table, f"{form}_norm_ratio", line)
    panels[1].set_ylim(-1.05, 1.05)
    panels[1].axhline(np.sqrt(0.5), color="0.4", lw=0.8, ls=":")
    panels[1].set_ylabel("matrix form and true gradient:\ncosine", fontsize=8)
    panels[2].set_yscale("log")
    panels[2].yaxis.set_major_formatter("{x:g}")
    panels[2].yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    panels[2].yaxis.set_minor_formatter("{x:g}")
    panels[2].tick_params(which="minor", labelsize=7)
    panels[2].axhline(1, color="0.4", lw=0.8, ls=":")
    panels[2].set_ylabel("ratio of norms", fontsize=8)
    layer_legend(figure, layers, published=False, compared=list(LINED.values()))
    run = results.runs[variant]
    footer(
        figure,
        results,
        f"Float64, {run.settings.samples:,} samples. Above: gradients averaged over samples, all seeds; line: equal.",
        "Below: mean over seeds, points a seed; residual over all nodes and samples of a layer (dotted: 1e-10); cosine "
        "with the averaged gradient of the layer's weights (dotted: 45 degrees).",
    )
    return figure


def scatter(axes: Axes, jobs: list[dict[str, np.ndarray]], epoch: int, layers: list[int]) -> None:
    """Draw predicted against true gradients of all nodes at an epoch."""
    for layer in reversed(layers):  # lower layers, which have fewer nodes, on top
        true, predicted = (
            np.concatenate([job[f"{name}/{epoch}/{layer}"].ravel() for job in jobs]) for name in ("true", "predicted")
        )
        axes.plot(true, predicted, ".", ms=2.5, color=LAYER_COLORS[layer], alpha=0.6, rasterized=True)
    ends = np.array(axes.get_xlim())
    axes.plot(ends, ends, color="0.3", lw=0.6, zorder=1)
    axes.set_xscale("symlog", linthresh=1e-2, linscale=0.4)
    axes.set_yscale("symlog", linthresh=1e-2, linscale=0.4)
    power = 10.0 ** np.floor(np.log10(np.abs(ends).max()))
    axes.set_xticks([-power, 0, power], [f"{value:g}" for value in (-power, 0, power)])
    axes.set_yticks([-power, 0, power], [f"{value:g}" for value in (-power, 0, power)])
    axes.tick_params(labelsize=6.5)


def through_training(axes: Axes, table: pd.DataFrame, quantity: str, line: object) -> None:
    """Draw a quantity against saved epochs, evenly spaced: a line a layer, a point a seed; nothing without values."""
    rows = table[table["quantity"] == quantity]
    if rows.empty:
        return
    epochs = sorted(rows["epoch"].unique())
    for layer, values in rows.groupby("layer"):
        wide = values.pivot(index="epoch", columns="seed", values="value")
        axes.plot(range(len(epochs)), wide.mean(axis=1), color=LAYER_COLORS[int(layer)], ls=line, lw=1.5)
        axes.plot(range(len(epochs)), wide.to_numpy(), ".", ms=3, color=LAYER_COLORS[int(layer)], alpha=0.5)
    axes.set_xticks(range(len(epochs)), [str(int(epoch)) for epoch in epochs])
    axes.set_xlabel("epoch (saved ones)", fontsize=8)
    axes.tick_params(labelsize=7)
