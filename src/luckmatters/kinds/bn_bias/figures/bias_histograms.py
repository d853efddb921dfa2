"""Layout ``bias-histograms``: BatchNorm biases of pretrained networks, a panel a layer (the paper's VGG figure).

Without weights, the published mean and standard deviation of each layer, a panel a network.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.drawing.style import label_name, layer_name, note
from luckmatters.kinds.bn_bias.figures.biases import NEGATIVE, POSITIVE, agreement, models, sources
from luckmatters.science.biases import has_weights, share_bounds
from luckmatters.tables.results import Results

BINS = np.linspace(-1, 0.5, 51)
COLUMNS = 8


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure: networks below each other, the lowest layer first."""
    tables = models(results)
    heights = [1.5 * -(-len(t) // COLUMNS) + 0.35 if has_weights(t) else 2.6 for t in tables.values()]
    figure = plt.figure(figsize=(10.8, sum(heights) + 1.0), layout="constrained")
    parts = figure.subfigures(len(tables), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (variant, layers) in zip(parts, tables.items(), strict=True):
        part.suptitle(label_name(results, results.labels[variant]["model"]), fontsize=9.5, x=0.01, ha="left")
        if has_weights(layers):
            biases = results.table.query("variant == @variant and quantity == 'bias'")
            histograms(part, layers, {layer: rows["value"].to_numpy() for layer, rows in biases.groupby("layer")})
        else:
            moments(part.subplots(), layers)
    handles = [
        plt.Rectangle((0, 0), 1, 1, color=color, label=name)
        for color, name in ((NEGATIVE, "below zero"), (POSITIVE, "zero or above"))
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=8)
    note(figure, " ".join([sources(results), explanation(tables.values()), agreement(results)]))
    return figure


def explanation(tables: Sequence[pd.DataFrame]) -> str:
    """Sentences for the caption on histograms and bars."""
    text = ""
    if any(has_weights(table) for table in tables):
        text = (
            "Histograms: biases of a layer's channels in 50 bins from −1 to 0.5, others in the outermost; above a "
            "panel the share strictly below zero (and zeros, where there are any). "
        )
    if any(not has_weights(table) for table in tables):
        text += (
            "Bars: published mean ± 1 standard deviation of a layer's biases; numbers: the share below zero that these "
            "two alone guarantee (Cantelli's inequality)."
        )
    return text


def histograms(part, layers: pd.DataFrame, biases: dict[int, np.ndarray]) -> None:
    """Draw a panel a layer. The vertical scale of each panel is free."""
    rows = -(-len(layers) // COLUMNS)
    grid = part.subplots(rows, COLUMNS, squeeze=False, sharex=True)
    for axes, layer in zip(grid.flat, layers.index, strict=False):
        histogram(axes, biases[layer])
        row = layers.loc[layer]
        zeros = f", {row['zero']:.0f} zero" if row["zero"] else ""
        axes.set_title(f"{layer_name(layer)}\n{row['negative'] / row['channels']:.1%} negative{zeros}", fontsize=7.5)
    for axes in grid.flat[len(layers) :]:
        axes.set_visible(False)
    for column in range(COLUMNS):
        shown = [axes for axes in grid[:, column] if axes.get_visible()]
        if shown:
            shown[-1].tick_params(labelbottom=True)
            shown[-1].set_xlabel("bias", fontsize=8)
    for axes in grid[:, 0]:
        axes.set_ylabel("channels", fontsize=8)


def histogram(axes: Axes, bias: np.ndarray) -> None:
    """Draw counts of biases in BINS, in two colours: biases below zero, and biases of zero or above."""
    inside = bias.clip(BINS[0], BINS[-1])
    counts = [np.histogram(inside[chosen], BINS)[0] for chosen in (bias < 0, bias >= 0)]
    width, base = np.diff(BINS), np.zeros(len(BINS) - 1)
    for count, color in zip(counts, (NEGATIVE, POSITIVE), strict=True):
        axes.bar(BINS[:-1], count, width, base, align="edge", color=color, linewidth=0)
        base = base + count
    axes.axvline(0, color="0.3", lw=0.6)
    axes.set_xlim(BINS[0], BINS[-1])
    axes.tick_params(labelsize=7)


def moments(axes: Axes, layers: pd.DataFrame) -> None:
    """Draw published mean ± standard deviation of each layer, above zero in the colour of positive biases."""
    mean, std = layers["published_bias_mean"], layers["published_bias_std"]
    for x, low, high in zip(layers.index, mean - std, mean + std, strict=True):
        axes.plot([x, x], [low, min(high, 0)], color=NEGATIVE, lw=7, solid_capstyle="butt")
        if high > 0:
            axes.plot([x, x], [max(low, 0), high], color=POSITIVE, lw=7, solid_capstyle="butt")
    axes.plot(layers.index, mean, ls="", marker="_", ms=11, mew=1.6, color="0.1")
    top = max(0.5, (mean + std).max() + 0.15)
    for x, least in share_bounds(layers)["low"].items():
        axes.annotate(
            f"≥ {np.floor(100 * least):.0f} %",
            (x, top),
            xytext=(0, -9),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    axes.axhline(0, color="0.3", lw=0.8)
    axes.set_ylim(min(-1, (mean - std).min() - 0.05), top)
    axes.set_xticks(layers.index, [f"{layer}\n(lowest)" if layer == 0 else str(layer) for layer in layers.index])
    axes.set_xlabel("layer")
    axes.set_ylabel("bias, published\nmean ± std", fontsize=8)
