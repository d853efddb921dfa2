"""Layout ``weight-curves``: cosines of students' and teacher's fan-in weights over epochs, a panel a variant."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from luckmatters.drawing.overlap import baselines, grey
from luckmatters.drawing.style import BANDS, LINES, curves, footer, headline, layer_legend, title
from luckmatters.tables.results import Results

COLUMNS = 3


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Panels: variants in the order of the file, COLUMNS a row."""
    variants, band = list(results.runs), results.experiment.figure.band
    rows = -(-len(variants) // COLUMNS)
    figure, grid = plt.subplots(
        rows, COLUMNS, figsize=(7, 1.5 + 1.9 * rows), squeeze=False, sharey=True, layout="constrained"
    )
    for axes in grid.flat[len(variants) :]:
        axes.set_visible(False)
    for axes, variant in zip(grid.flat, variants, strict=False):
        table = results.table[results.table["variant"] == variant]
        baselines(axes, table, "_weight_cosine", LINES[0])
        curves(axes, table[table["quantity"] == "weight_cosine"], band=band)
        axes.axhline(1, color="0.4", lw=0.8, ls=":")
        axes.set_title(title(results, variant), fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in grid[:, 0]:
        axes.set_ylabel("cosine of weights", fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("epoch", fontsize=8)
    grid[0, 0].set_ylim(-0.1, 1.04)
    layers = sorted(int(layer) for layer in results.select("weight_cosine")["layer"].unique())
    floor = plt.Line2D([], [], color=grey(0), lw=0.8, label="floor: unrelated teacher")
    layer_legend(figure, layers, published=False, others=[floor])
    headline(figure, results.experiment.question)
    footer(
        figure, results,
        "Cosine of the fan-in weights of a teacher node and of the student node with the greatest ρ, mean over live "
        f"teacher nodes and seeds; {BANDS[band][1]}. Above the lowest layer weights are first expressed by the teacher "
        "nodes that the student nodes below are closest to. Grey: the same with an unrelated teacher, the lowest layer "
        "darkest.",
    )  # fmt: skip
    return figure
