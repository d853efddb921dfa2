"""Every published curve over ours, with the departures below."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple

from luckmatters.drawing.overlap import AS_PUBLISHED, SYMBOLS
from luckmatters.drawing.style import LAYER_COLORS, NETWORK_COLOR, layer_name, note
from luckmatters.judging.published import UNITS

COLUMNS = 4
MARKERS = "os^D"  # of published points: the layer shows in the shape, lowest first
PUBLISHED = {"ms": 4, "mfc": "none", "mec": "black", "mew": 0.7, "zorder": 4}
BAND = "0.88"
MOST_MARKERS = 15  # published points drawn on a curve; more would hide ours
EXPLAINED = (
    "Lines: ours, mean over seeds, with a band of ±1 standard deviation over seeds. Markers: published, digitized (at "
    f"most {MOST_MARKERS} a curve). Only epochs that both have, where there are several; of fan-out norms, saved "
    "iterations. Title: quantity, our run, file of data/published. Departure: ours less published in standard errors "
    "of the difference, from the spread over seeds and teachers and from reading; "
    f"linear up to ±{UNITS}, logarithmic beyond."
)
UNKNOWN = "How far teachers differ is not known for {}: their departures are too large."


def draw(table: pd.DataFrame, scale: str) -> Figure:
    """The figure: a panel for each file, run, start and quantity, and a strip of departures below each.

    table: the rows of ``comparison.compare``. Curves of a single epoch are left out where there are longer ones.
    """
    family = [key for key in ("file", "experiment", "variant", "start", "quantity") if key in table]
    panels = list(table.groupby(family, dropna=False, sort=False))
    panels = [(key, rows) for key, rows in panels if rows["epoch"].nunique() > 1] or panels
    deep = -(-len(panels) // COLUMNS)
    figure, grid = plt.subplots(
        2 * deep, COLUMNS, figsize=(2.75 * COLUMNS, 1 + 2.75 * deep), squeeze=False, layout="constrained",
        height_ratios=[2.2, 1] * deep,
    )  # fmt: skip
    places = [(grid[row, column], grid[row + 1, column]) for row in range(0, 2 * deep, 2) for column in range(COLUMNS)]
    for (above, below), (_, rows) in itertools.zip_longest(places, panels, fillvalue=(None, None)):
        if rows is None:
            above.remove()
            below.remove()
            continue
        below.sharex(above)
        panel(above, rows)
        strip(below, rows)
    for above, below in zip(grid[::2, 0], grid[1::2, 0], strict=True):
        above.set_ylabel("value", fontsize=8)
        below.set_ylabel("departure", fontsize=8)
    legend(figure, table)
    files = ", ".join(table.loc[table["teachers"] == "unknown", "file"].unique())
    note(figure, " ".join([f"Scale {scale}.", EXPLAINED, UNKNOWN.format(files) if files else ""]))
    return figure


def by_layer(rows: pd.DataFrame) -> list[tuple[object, str, pd.DataFrame]]:
    """The rows of each curve in a panel, by epoch, with the curve's colour and marker."""
    curves = []
    for layer, curve in rows.groupby("layer", dropna=False):
        color, marker = (NETWORK_COLOR, "o") if pd.isna(layer) else (LAYER_COLORS[layer], MARKERS[layer % 4])
        curves.append((color, marker, curve.sort_values("epoch")))
    return curves


def panel(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw our curves as lines with bands, and published points as open markers."""
    for color, marker, curve in by_layer(rows):
        epoch, spread = curve["epoch"], curve["std"].fillna(0)
        axes.plot(epoch, curve["ours"], color=color, lw=1.4, marker=".", ms=3)  # marks show a single epoch
        axes.fill_between(epoch, curve["ours"] - spread, curve["ours"] + spread, color=color, alpha=0.2, lw=1)
        axes.plot(
            epoch, curve["theirs"], ls="none", marker=marker, markevery=-(-len(curve) // MOST_MARKERS), **PUBLISHED
        )
    first = rows.iloc[0]
    start = f", start {first['start']}" if isinstance(first.get("start"), str) else ""
    quantity = first["quantity"].removesuffix(AS_PUBLISHED)
    names = f"{SYMBOLS.get(quantity, quantity.replace('_', ' '))}{start}", f"{first['experiment']}/{first['variant']}"
    axes.set_title("\n".join([*names, first["file"]]), fontsize=7.5, loc="left")
    axes.tick_params(labelsize=7, labelbottom=False)
    low, high = rows["epoch"].min(), rows["epoch"].max()
    margin = max(0.04 * (high - low), 0.2)
    axes.set_xlim(low - margin, high + margin)
    if quantity == "loss":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(plt.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()


def strip(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the departures, linear up to UNITS and logarithmic beyond, on a band of ±UNITS."""
    axes.axhspan(-UNITS, UNITS, color=BAND, lw=0)
    axes.axhline(0, color="0.4", lw=0.8)
    for color, marker, curve in by_layer(rows):
        axes.plot(curve["epoch"], curve["departure"], color=color, lw=0.9, marker=marker, ms=2)
    axes.set_yscale("symlog", linthresh=UNITS, linscale=0.6)
    limit = 1.3 * np.nanmax([5, *rows["departure"].abs()])
    outer = max(tick for tick in (5, 10, 20, 50, 100) if tick < limit)
    ticks = [-outer, -UNITS, 0, UNITS, outer]
    axes.set_yticks(ticks, labels=[f"{tick}".replace("-", "−") for tick in ticks])
    axes.set_ylim(-limit, limit)
    axes.minorticks_off()
    axes.xaxis.set_major_locator(plt.MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
    axes.tick_params(labelsize=6.5)
    axes.grid(axis="y", visible=False)


def legend(figure: Figure, table: pd.DataFrame) -> None:
    """Draw one legend above the panels: layers with their colours and markers, ours, theirs, the band of departures."""
    layers = sorted(table["layer"].dropna().unique())
    looks = [(LAYER_COLORS[layer], MARKERS[layer % 4], f"{layer_name(layer)}: ours, published") for layer in layers]
    if table["layer"].isna().any():
        looks.append((NETWORK_COLOR, "o", "whole network: ours, published"))
    handles = [
        (plt.Line2D([], [], color=color, lw=1.5), plt.Line2D([], [], ls="none", marker=marker, **PUBLISHED))
        for color, marker, _ in looks
    ]
    handles.append(plt.Rectangle((0, 0), 1, 1, fc=BAND, lw=0))
    labels = [*(label for *_, label in looks), f"±{UNITS} standard errors"]
    beside = {tuple: HandlerTuple(ndivide=None)}
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=8, handler_map=beside, handlelength=3)
