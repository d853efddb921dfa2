"""Layout ``overlap-curves``: a row a variant; ρ̄ and r̄ over epochs (the paper's main figures)."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from luckmatters.figures.style import BANDS, QUANTITIES, curves, footer, layer_legend
from luckmatters.results import Results


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """Rows: variants in the order of the grid; columns: ρ̄ and r̄; a line a layer."""
    variants, band = list(results.runs), results.experiment.figure.band
    figure, grid = plt.subplots(
        len(variants), len(QUANTITIES), figsize=(7.2, 0.9 + 1.9 * len(variants)), squeeze=False, layout="constrained"
    )
    for row, variant in zip(grid, variants, strict=True):
        for axes, (quantity, label) in zip(row, QUANTITIES.items(), strict=True):
            rows = results.select(quantity)
            reference = published.get(variant)
            curves(
                axes,
                rows[rows["variant"] == variant],
                band=band,
                published=None if reference is None else reference[reference["quantity"] == quantity],
            )
            axes.set_title(f"{results.title(variant)}: {label}", fontsize=8.5)
            axes.set_ylim(*((0, 1.02) if quantity == "correlation" else (-0.01, 0.52)))
            if quantity == "mean_rank":
                axes.axhline(0.5, color="0.4", lw=0.8, ls=":")
                axes.text(
                    0.985, 0.485, "chance", transform=axes.get_yaxis_transform(), ha="right", va="top", fontsize=7
                )
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    layers = sorted(int(layer) for layer in results.select("correlation")["layer"].unique())
    layer_legend(figure, layers, published=bool(published))
    footer(figure, results, f"Mean over seeds; {BANDS[band][1]}.")
    return figure
