"""Layout ``overlap-curves``: a row a variant; ρ̄ and r̄ over epochs (the paper's main figures).

Where samples have labels, also the evaluation loss, and the students' accuracy with the teacher's.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.figures.style import (
    BANDS,
    NETWORK_QUANTITIES,
    QUANTITIES,
    curves,
    footer,
    layer_legend,
    network_curve,
)
from luckmatters.results import Results


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """Rows: variants in the order of the grid; columns: ρ̄ and r̄ by layer, and what the whole network is worth."""
    options = results.experiment.figure
    variants, band = list(results.runs), options.band
    if options.included_first:
        variants.sort(key=lambda variant: results.runs[variant].experiment == results.name)
    labelled = not results.select("accuracy").empty
    quantities = QUANTITIES | (NETWORK_QUANTITIES if labelled else {})
    figure, grid = plt.subplots(
        len(variants), len(quantities), figsize=(10.8 if labelled else 7.2, 0.9 + 1.9 * len(variants)),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for row, variant in zip(grid, variants, strict=True):
        for axes, (quantity, label) in zip(row, quantities.items(), strict=True):
            rows = results.select(quantity)
            rows = rows[rows["variant"] == variant]
            if quantity in QUANTITIES:
                reference = published.get(variant)
                reference = None if reference is None else reference[reference["quantity"] == quantity]
                curves(axes, rows, band=band, published=reference)
            else:
                network_curve(axes, rows, band=band)
            axes.set_title(f"{results.title(variant)}: {label}", fontsize=8.5)
            limits(axes, quantity)
            if quantity == "accuracy":
                its = results.select("teacher_accuracy")
                level_line(axes, its[its["variant"] == variant]["value"].mean(), "teacher")
            if quantity == "mean_rank":
                level_line(axes, 0.5, "chance")
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    layers = sorted(int(layer) for layer in results.select("correlation")["layer"].unique())
    layer_legend(figure, layers, published=bool(published))
    footer(figure, results, f"Mean over seeds; {BANDS[band][1]}.")
    return figure


def limits(axes: Axes, quantity: str) -> None:
    """The same scale in every row."""
    if quantity in ("correlation", "accuracy"):
        axes.set_ylim(0, 1.02)
    elif quantity == "mean_rank":
        axes.set_ylim(-0.01, 0.52)
    else:
        axes.set_ylim(bottom=0)


def level_line(axes: Axes, level: float, name: str) -> None:
    """A dotted line at a level, with its name under it."""
    axes.axhline(level, color="0.4", lw=0.8, ls=":")
    axes.text(
        0.985, level - 0.03 * (axes.get_ylim()[1] - axes.get_ylim()[0]), name,
        transform=axes.get_yaxis_transform(), ha="right", va="top", fontsize=7,
    )  # fmt: skip
