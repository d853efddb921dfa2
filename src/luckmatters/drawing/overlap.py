"""Panels of ρ̄ and r̄: which samples are measured, control and floor, the level of chance, sentences for captions."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from luckmatters.drawing.style import LAYER_COLORS, curves, title
from luckmatters.learning.shapes import student_widths
from luckmatters.tables.results import Results

AS_PUBLISHED = "_192"  # ends the names of quantities that are measured as the authors measure them
SYMBOLS = {"correlation": "$\\bar\\rho$", "mean_rank": "$\\bar r$"}
LEAST_MOVE = 0.02  # least move of a published curve beyond our last epoch that captions report: less is hardly visible
SAME_CHANCE = 0.005  # levels of chance that differ by less than the width of a line are drawn as one line
EXPLAINED = (
    "Grey: the same students' ρ̄ with an unrelated teacher (of trained teachers: an untrained random one), mean over "
    "seeds, the lowest layer darkest. Floor: a teacher node's best ρ with another node of its layer, mean over nodes "
    "and seeds."
)
FEW = "192 samples"
MEASURED = (
    f"“{FEW}”: as the authors measure, on the first 192 evaluation samples, BatchNorm with its running statistics, "
    "dead teacher nodes with ρ = 0."
)
FLOOR = {"ls": "none", "marker": "<", "ms": 3.5, "mew": 0}


def measure(results: Results, variants: Sequence[str], quantity: str, published: Mapping[str, pd.DataFrame]) -> str:
    """The name of the quantity that a panel of variants draws.

    With a published curve in the panel, the quantity as the authors measure it, on 192 samples; else as it is. Variants
    that differ in the number of evaluation samples are measured on all of them: the panel compares these numbers.
    """
    name = quantity + AS_PUBLISHED
    curve = any(name in set(published[variant]["quantity"]) for variant in variants if variant in published)
    samples = {results.runs[variant].trained.settings.data.evaluation_samples for variant in variants}
    return name if curve and len(samples) == 1 else quantity


def panel(
    axes: Axes,
    results: Results,
    lines: Mapping[str, object],
    quantity: str,
    published: Mapping[str, pd.DataFrame],
) -> None:
    """Draw curves of a quantity, layer by layer, of the variants that share a panel.

    lines: the line style of each variant.
    """
    drawn = measure(results, list(lines), quantity, published)
    for variant, line in lines.items():
        rows = results.table[results.table["variant"] == variant]
        if quantity == "correlation":
            baselines(axes, rows, drawn.removeprefix(quantity), line)
        curve = published.get(variant)
        if curve is not None:
            curve = curve[curve["quantity"] == quantity + AS_PUBLISHED]
        rows = rows[rows["quantity"] == drawn]
        curves(axes, rows, band=results.experiment.figure.band, published=curve, line=line)
    if quantity == "mean_rank":
        level(axes, chance_levels(results, lines), "chance", above=False)
        axes.set_title(FEW if drawn != quantity else "", fontsize=7, loc="right")
    elif drawn != quantity:
        axes.text(0.985, 0.02, FEW, transform=axes.transAxes, ha="right", va="bottom", fontsize=7)


def baselines(axes: Axes, rows: pd.DataFrame, measured: str, line: object) -> None:
    """Draw a variant's controls as grey lines over epochs, and the floors as marks at the right edge.

    measured: the ending of the names of both quantities.
    """
    known = rows.dropna(subset=["layer", "value"])
    for layer, control in known[known["quantity"] == f"control{measured}"].groupby("layer"):
        mean = control.groupby("epoch")["value"].mean()
        axes.plot(mean.index, mean, color=grey(layer), lw=0.8, ls=line, zorder=1.5)
    for layer, floor in known[known["quantity"] == f"floor{measured}"].groupby("layer"):
        axes.plot(
            1.01, floor["value"].mean(), transform=axes.get_yaxis_transform(), color=LAYER_COLORS[layer], clip_on=False,
            **FLOOR,
        )  # fmt: skip


def grey(layer: int) -> str:
    """The grey of a layer's control, darkest for the lowest layer."""
    return f"{min(0.3 + 0.14 * int(layer), 0.8):.2f}"


def chance_levels(results: Results, variants: Iterable[str]) -> list[float]:
    """The mean ranks that chance gives in hidden layers of n students, (n − 1) / 2n.

    Levels that are nearly equal give a single level, the mean.
    """
    widths = {width for variant in variants for width in student_widths(results.runs[variant])[:-1]}
    levels = sorted((width - 1) / (2 * width) for width in widths)
    return levels if levels[-1] - levels[0] >= SAME_CHANCE else [sum(levels) / len(levels)]


def level(axes: Axes, values: Sequence[float], name: str, *, above: bool) -> None:
    """Draw dotted lines at levels, with one name above or below all of them.

    above: whether the name stands above, which is the side without curves.
    """
    for value in values:
        axes.axhline(value, color="0.4", lw=0.8, ls=":")
    axes.annotate(
        name, (0.985, max(values) if above else min(values)), xycoords=axes.get_yaxis_transform(),
        xytext=(0, 2 if above else -2), textcoords="offset points", ha="right", va="bottom" if above else "top",
        fontsize=7,
    )  # fmt: skip


def legend_entries() -> list[plt.Line2D]:
    """The entries of a legend for control and floor."""
    return [
        plt.Line2D([], [], color=grey(0), lw=0.8, label="control: unrelated teacher"),
        plt.Line2D([], [], color="0.3", **FLOOR, label="floor: nodes of the teacher"),
    ]


def out_of_reach(
    results: Results,
    panels: Iterable[Sequence[str]],
    quantities: Iterable[str],
    published: Mapping[str, pd.DataFrame],
) -> str:
    """A sentence on the published curves that move beyond our last epoch, and by how much; empty without any."""
    later = []
    for variants, quantity in itertools.product(panels, quantities):
        drawn = measure(results, variants, quantity, published)
        for variant in variants if drawn != quantity else ():
            last = results.table.loc[results.table["variant"] == variant, "epoch"].max()
            moves = moved(published[variant].query("quantity == @drawn"), last) if variant in published else {}
            if moves and max(moves.values()) > LEAST_MOVE:
                layer = max(moves, key=moves.get)
                later.append(
                    f"{SYMBOLS[quantity]} ({title(results, variant)}) by up to {moves[layer]:.2f} after epoch {last:g} "
                    f"(layer {layer})"
                )
    return f"Out of reach of these runs is what published curves do later: {'; '.join(later)}." if later else ""


def moved(curve: pd.DataFrame, last: float) -> dict[int, float]:
    """How far each layer of a published curve moves after our last epoch, by layer.

    The move starts at the last known level up to that epoch, or else at the first level after it.
    """
    moves = {}
    for layer, values in curve.dropna(subset="value").groupby("layer"):
        values = values.set_index("epoch")["value"].sort_index()
        before, beyond = values[values.index <= last], values[values.index > last]
        if len(beyond):
            level = before.iloc[-1] if len(before) else beyond.iloc[0]
            moves[int(layer)] = float((beyond - level).abs().max())
    return moves


def sentences(
    results: Results,
    panels: Sequence[Sequence[str]],
    quantities: Sequence[str],
    published: Mapping[str, pd.DataFrame],
) -> list[str]:
    """Sentences for a caption on baselines, on the 192 samples, and on published curves beyond our last epoch.

    panels: the variants of each panel.
    """
    few = any(measure(results, *panel, published) != panel[1] for panel in itertools.product(panels, quantities))
    return [EXPLAINED, MEASURED if few else "", out_of_reach(results, panels, quantities, published)]
