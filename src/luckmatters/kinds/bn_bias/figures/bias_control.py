"""Layout ``bias-control``: BatchNorm biases before a ReLU6 and where none follows, by depth, a column a network.

Above, the share of negative biases of every layer. Below, a histogram of every layer, a row of panels a role.
"""

from collections.abc import Iterable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.drawing.style import note, title
from luckmatters.kinds.bn_bias.figures.biases import NEGATIVE, POSITIVE, sources
from luckmatters.kinds.bn_bias.roles import BEFORE_RELU, IN_BLOCK, OUTSIDE, WITHOUT_RELU, above_projection, by_role
from luckmatters.tables.results import Results

BINS = np.linspace(-4, 4, 65)
_COLORBLIND = sns.color_palette("colorblind")
LOOKS = {
    "expansion": {"color": _COLORBLIND[2], "marker": "o"},
    "depthwise": {"color": _COLORBLIND[4], "marker": "s"},
    "projection": {"color": "0.1", "marker": "D", "mfc": "white"},
    "stem": {"color": _COLORBLIND[5], "marker": "v", "ls": ""},
    "head": {"color": _COLORBLIND[5], "marker": "^", "ls": ""},
}
WORDS = {role: f"{role}: {'no ReLU' if role == WITHOUT_RELU else 'before a ReLU6'}" for role in LOOKS}


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure: networks side by side, the lowest block at the left (above) and at the bottom (below)."""
    networks = {variant: by_role(table) for variant, table in results.table.groupby("variant", sort=False)}
    biases = results.table[results.table["quantity"] == "bias"].groupby(["variant", "layer"])["value"]
    figure, grid = plt.subplots(
        4, len(networks), figsize=(7, 8.8), squeeze=False, sharex="row", layout="constrained",
        height_ratios=[1.2, 1, 1, 1],
    )  # fmt: skip
    for panels, (variant, layers) in zip(grid.T, networks.items(), strict=True):
        shares(panels[0], placed(layers))
        panels[0].set_title(title(results, variant), fontsize=8.5)
        for axes, role in zip(panels[1:], IN_BLOCK.values(), strict=True):
            others = OUTSIDE.values() if role == "expansion" else ()  # where the expansion has room for both
            rows = placed(layers)[lambda its, shown=(role, *others): its["role"].isin(shown)]
            histograms(axes, rows, {layer: biases.get_group((variant, layer)).to_numpy() for layer in rows["layer"]})
    for axes, role in zip(grid[1:, 0], IN_BLOCK.values(), strict=True):
        axes.set_ylabel(f"{WORDS[role].replace(': ', chr(10))}\nblock", fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("bias", fontsize=8)
    grid[0, 0].set_ylabel("share of\nnegative biases (%)", fontsize=8)
    heading = f"{results.experiment.question}\n{finding(networks.values())}"
    figure.legend(
        handles=legend(), loc="outside upper center", ncols=4, fontsize=7.5, title=heading, title_fontsize=8.5,
        alignment="left",
    )  # fmt: skip
    note(figure, " ".join([sources(results), EXPLANATION]))
    return figure


EXPLANATION = (
    "Above: the share of strictly negative biases of a layer; dotted: one half. In the title: means over the blocks of "
    "each network, in percentage points. Histograms: a layer each, in 64 bins from −4 to 4, values beyond in the "
    "outermost, scaled to the highest bin; the lowest block at the bottom; with the expansion also stem and head."
)


def finding(networks: Iterable[pd.DataFrame]) -> str:
    """By how much more biases are negative before a ReLU6 than without, in the lower and the upper half of blocks."""
    halves = {"lower": [], "upper": []}
    for layers in networks:
        above = above_projection(layers, BEFORE_RELU)
        for half, part in zip(halves, (above[: len(above) // 2], above[len(above) // 2 :]), strict=True):
            halves[half].append(100 * part.mean())
    texts = [f"{', '.join(f'{value:+.0f}' for value in values)} in the {half}" for half, values in halves.items()]
    return f"Share before minus share without, in points: {'; '.join(texts)} half.".replace("-", "−")


def placed(layers: pd.DataFrame) -> pd.DataFrame:
    """Layers with their place by depth: the block's number, the stem below all blocks, the head above them."""
    above = int(layers["block"].max()) + 1
    ends = layers["role"].map({"stem": -1, "head": above})
    return layers.assign(place=layers["block"].astype(float).fillna(ends))


def shares(axes: Axes, layers: pd.DataFrame) -> None:
    """Draw the share of negative biases of every layer, a line a role."""
    axes.axhline(50, color="0.4", lw=0.8, ls=":")
    for role, rows in layers.groupby("role", sort=False):
        axes.plot(rows["place"], 100 * rows["share"], lw=0.8, ms=3.5, mew=0.8, **LOOKS[role])
    axes.set_ylim(-3, 103)
    axes.set_xlabel("block (0 = lowest)", fontsize=8)
    axes.xaxis.set_major_locator(plt.MultipleLocator(6))
    axes.tick_params(labelsize=7)


def histograms(axes: Axes, layers: pd.DataFrame, biases: dict[int, np.ndarray]) -> None:
    """Draw a histogram above another, the lowest block at the bottom, in the colours of the signs.

    biases: (channels,) of each layer.
    """
    zero = len(BINS) // 2
    for layer, place in zip(layers["layer"], layers["place"], strict=True):
        counts, _ = np.histogram(biases[layer].clip(BINS[0], BINS[-1]), BINS)
        heights = place + 0.95 * counts / counts.max()
        axes.stairs(heights[:zero], BINS[: zero + 1], baseline=place, fill=True, color=NEGATIVE, lw=0)
        axes.stairs(heights[zero:], BINS[zero:], baseline=place, fill=True, color=POSITIVE, lw=0)
    axes.axvline(0, color="0.3", lw=0.6)
    marks = layers.set_index("place")["role"]
    ticks = [place for place, role in marks.items() if role in OUTSIDE.values() or place % 6 == 0]
    axes.set_yticks(ticks, [marks[at] if marks[at] in OUTSIDE.values() else f"{at:.0f}" for at in ticks])
    axes.set_ylim(layers["place"].min() - 0.3, layers["place"].max() + 1.1)
    axes.tick_params(labelsize=7)
    axes.grid(False)


def legend() -> list:
    """The entries of the legend: roles, and signs."""
    lines = [plt.Line2D([], [], lw=0.8, ms=3.5, label=WORDS[role], **look) for role, look in LOOKS.items()]
    signs = ((NEGATIVE, "bias below zero"), (POSITIVE, "zero or above"))
    return [*lines, *(plt.Rectangle((0, 0), 1, 1, color=color, label=name) for color, name in signs)]
