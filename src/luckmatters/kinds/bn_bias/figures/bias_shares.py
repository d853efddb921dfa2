"""Layout ``bias-shares``: share of negative BatchNorm biases by depth, a panel a pretrained network."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.drawing.style import label_name, note
from luckmatters.kinds.bn_bias.figures.biases import NEGATIVE, POSITIVE, agreement, models, sources
from luckmatters.science.biases import has_weights, share_bounds
from luckmatters.tables.results import Results

COLUMNS = 4


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure: our shares as dots (without weights: bounds from published moments as bars), published as circles."""
    tables = models(results)
    rows = -(-len(tables) // COLUMNS)
    figure, grid = plt.subplots(
        rows, COLUMNS, figsize=(10.8, 1.3 + 2.1 * rows), squeeze=False, sharey=True, layout="constrained"
    )
    for axes, (variant, layers) in zip(grid.flat, tables.items(), strict=False):
        panel(axes, layers)
        axes.set_title(f"{label_name(results, results.labels[variant]['model'])} ({total(layers)})", fontsize=8.5)
    for axes in grid.flat[len(tables) :]:
        axes.set_visible(False)
    grid[0, 0].set_ylim(-3, 103)
    for axes in grid[:, 0]:
        axes.set_ylabel("share of negative\nbiases (%)", fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("BatchNorm layer (0 = lowest)", fontsize=8)
    figure.legend(handles=legend(tables), loc="outside upper center", ncols=4, fontsize=8)
    note(figure, " ".join([sources(results), explanation(tables), agreement(results)]))
    return figure


def panel(axes: Axes, layers: pd.DataFrame) -> None:
    """Draw the shares of a network by layer."""
    axes.axhline(50, color="0.4", lw=0.8, ls=":")
    if has_weights(layers):
        axes.plot(layers.index, 100 * layers["negative"] / layers["channels"], color=NEGATIVE, lw=0.8, marker=".", ms=5)
    elif "published_bias_mean" in layers:
        share = 100 * share_bounds(layers)
        axes.vlines(layers.index, share["low"], share["high"], color=NEGATIVE, lw=4, alpha=0.35)
        axes.plot(layers.index, share["likely"], ls="", marker="_", ms=6, mew=1.4, color=NEGATIVE)
    if "published_not_positive" in layers:
        axes.plot(
            layers.index, 100 * layers["published_not_positive"] / layers["channels"], ls="", marker="o", ms=4.5,
            mfc="none", mec=POSITIVE, mew=0.9, zorder=3,
        )  # fmt: skip
    axes.xaxis.set_major_locator(plt.MaxNLocator(integer=True, nbins=6))


def total(layers: pd.DataFrame) -> str:
    """The share over all layers of a network, for the title of a panel."""
    channels = layers["channels"].sum()
    if has_weights(layers):
        return f"{layers['negative'].sum() / channels:.1%} negative"
    if "published_not_positive" in layers:
        return f"published {layers['published_not_positive'].sum() / channels:.1%}"
    share = share_bounds(layers).mul(layers["channels"] / channels, axis=0).sum()
    return f"between {share['low']:.0%} and {share['high']:.0%}"


def legend(tables: dict[str, pd.DataFrame]) -> list:
    """The entries of the legend, for everything that a panel draws."""
    dots = plt.Line2D([], [], color=NEGATIVE, lw=0.8, marker=".", ms=5, label="strictly negative, counted")
    bars = plt.Line2D([], [], color=NEGATIVE, lw=4, alpha=0.35, label="what published mean and std allow")
    dashes = plt.Line2D([], [], color=NEGATIVE, ls="", marker="_", ms=6, mew=1.4, label="if biases were normal")
    circles = plt.Line2D([], [], ls="", marker="o", ms=4.5, mfc="none", mec=POSITIVE, label="published (not positive)")
    counted = [has_weights(layers) for layers in tables.values()]
    return [dots] * any(counted) + [bars, dashes] * (not all(counted)) + [circles]


def explanation(tables: dict[str, pd.DataFrame]) -> str:
    """Sentences for the caption on layers, zeros and bars."""
    text = "Layers in the order of the network's modules; dotted: one half. "
    if any("zero" in layers and layers["zero"].sum() for layers in tables.values()):
        zeros = sum(int(layers["zero"].sum()) for layers in tables.values() if "zero" in layers)
        text += f"{zeros} biases are exactly zero, which the published shares count as negative and ours do not. "
    if any(not has_weights(layers) for layers in tables.values()):
        text += "Bars hold every share that a layer's published mean and std allow (Cantelli's inequality). "
    return text
