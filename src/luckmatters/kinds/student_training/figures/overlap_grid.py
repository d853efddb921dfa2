"""Layout ``overlap-grid``: ρ̄ over epochs, a panel for every label of an axis, or pair of labels of two axes."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from luckmatters.drawing import overlap
from luckmatters.drawing.style import BANDS, LINES, QUANTITIES, footer, label_name, layer_legend
from luckmatters.settings.experiment import Figure as FigureOptions
from luckmatters.tables.results import Results


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Columns: labels of the axis ``figure.columns``; rows: labels of ``figure.rows``, if it is given."""
    options = results.experiment.figure
    places = {place(options, labels): variant for variant, labels in results.labels.items()}
    named = list(options.labels)  # labels that the file names come first, in that order
    rows, columns = (
        sorted(dict.fromkeys(labels), key=lambda label: named.index(label) if label in named else len(named))
        for labels in zip(*places, strict=True)
    )
    figure, grid = plt.subplots(
        len(rows), len(columns), figsize=(max(7.2, 1.2 + 1.55 * len(columns)), 1.1 + 2.1 * len(rows)),
        squeeze=False, sharex=True, sharey=True, layout="constrained",
    )  # fmt: skip
    for panels, row in zip(grid, rows, strict=True):
        for axes, column in zip(panels, columns, strict=True):
            variant = places.get((row, column))
            names = [label_name(results, label) for label in (column, row) if label]
            if variant is None:
                axes.text(
                    0.5, 0.5, "not run at\nthis scale", transform=axes.transAxes, ha="center", va="center", color="0.4"
                )
            else:
                overlap.panel(axes, results, {variant: LINES[0]}, "correlation", published)
            axes.set_title("\n".join(names), fontsize=8.5)
    grid[0, 0].set_ylim(0, 1.02)
    for axes in grid[:, 0]:
        axes.set_ylabel(QUANTITIES["correlation"])
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    layers = sorted(int(layer) for layer in results.select("correlation")["layer"].unique())
    layer_legend(figure, layers, published=bool(published), others=overlap.legend_entries())
    footer(
        figure,
        results,
        f"Mean over seeds; {BANDS[options.band][1]}.",
        *overlap.sentences(results, [[variant] for variant in results.runs], ["correlation"], published),
    )
    return figure


def place(options: FigureOptions, labels: dict[str, str]) -> tuple[str | None, str]:
    """The labels of a variant's row and column. The row is None where there is no axis of rows."""
    return labels[options.rows] if options.rows else None, labels[options.columns]
