"""Layout ``overlap-grid``: ρ̄ over epochs, a panel for every pair of labels of two axes (over-parameterization)."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from luckmatters.figures.style import BANDS, QUANTITIES, curves, footer, label_name, layer_legend
from luckmatters.results import Results


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """Rows and columns: the labels of the axes named in ``figure.rows`` and ``figure.columns``; a line a layer."""
    options = results.experiment.figure
    rows, columns = (
        list(dict.fromkeys(labels[axis] for labels in results.labels.values()))
        for axis in (options.rows, options.columns)
    )
    figure, grid = plt.subplots(
        len(rows), len(columns), figsize=(1.2 + 1.55 * len(columns), 1.1 + 2.1 * len(rows)),
        squeeze=False, sharex=True, sharey=True, layout="constrained",
    )  # fmt: skip
    names = {(labels[options.rows], labels[options.columns]): name for name, labels in results.labels.items()}
    correlation = results.select("correlation")
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            axes, variant = grid[i, j], names.get((row, column))
            axes.set_title(f"{label_name(results, column)}\n{label_name(results, row)}", fontsize=8.5)
            if variant is None:
                axes.text(
                    0.5, 0.5, "not run at\nthis scale", transform=axes.transAxes, ha="center", va="center", color="0.4"
                )
                continue
            curves(
                axes,
                correlation[correlation["variant"] == variant],
                band=options.band,
                published=published.get(variant),
            )
    grid[0, 0].set_ylim(0, 1.02)
    for axes in grid[:, 0]:
        axes.set_ylabel(QUANTITIES["correlation"])
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    layer_legend(figure, sorted(int(layer) for layer in correlation["layer"].unique()), published=bool(published))
    footer(figure, results, f"Mean over seeds; {BANDS[options.band][1]}.")
    return figure
