"""Layout ``rank-profile``: ρ of each teacher node's best students, before and after training (paper, appendix)."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from luckmatters.drawing.style import LAYER_COLORS, footer, layer_name, title
from luckmatters.tables.results import Results

BEFORE = "0.45"


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Rows: variants; columns: layers. Thin: teacher nodes of the first seed; thick: mean over all."""
    table, variants = results.select("correlation"), list(results.runs)
    layers = sorted(int(layer) for layer in table["layer"].unique())
    figure, grid = plt.subplots(
        len(variants), len(layers), figsize=(0.6 + 1.9 * len(layers), 1.0 + 2.0 * len(variants)),
        squeeze=False, sharex=True, sharey=True, layout="constrained",
    )  # fmt: skip
    for row, variant in zip(grid, variants, strict=True):
        for axes, layer in zip(row, layers, strict=True):
            rows = table[(table["variant"] == variant) & (table["layer"] == layer)]
            for epoch, lines in rows.groupby("epoch"):
                color = BEFORE if epoch == 0 else LAYER_COLORS[layer]
                first = lines[lines["seed"] == lines["seed"].min()]
                nodes = first.pivot(index="rank", columns="node", values="value")
                axes.plot(nodes.index + 1, nodes.to_numpy(), color=color, lw=0.4, alpha=0.2)
                mean = lines.groupby("rank")["value"].mean()
                axes.plot(mean.index + 1, mean, color=color, lw=2, ls="--" if epoch == 0 else "-")
            axes.set_title(f"{title(results, variant)}\n{layer_name(layer)}", fontsize=8.5)
            axes.set_ylim(-0.02, 1.02)
        row[0].set_ylabel("correlation ρ")
    for axes in grid[-1]:
        axes.set_xlabel("student, by rank")
        axes.set_xticks([1, 5, 10, 15, 20])
    handles = [plt.Line2D([], [], color=BEFORE, lw=2, ls="--", label="before training")]
    handles.append(plt.Line2D([], [], color="0.1", lw=2, label="after (colour of the layer)"))
    figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=8)
    kept = next(iter(results.runs.values())).settings.students
    footer(
        figure,
        results,
        f"The {kept} best students of each teacher node, before training and after {table['epoch'].max()} epochs.",
        "Thin: teacher nodes of the first seed; thick: mean over nodes and seeds.",
    )
    return figure
