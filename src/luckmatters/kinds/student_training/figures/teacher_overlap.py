"""Layout ``teacher-overlap``: how convergence slows with the number and the overlap of the teacher's nodes."""

import textwrap

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.drawing.style import BANDS, footer
from luckmatters.settings.experiment import Run
from luckmatters.tables.results import Results

ROWS = {"weight_cosine": "cosine of weights", "correlation": "mean best\ncorrelation $\\bar\\rho$"}


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Columns: teachers by number of nodes, and by bias at one number; rows: weights, and ρ̄."""
    band, columns = results.experiment.figure.band, groups(results.runs)
    figure, grid = plt.subplots(
        len(ROWS), len(columns), figsize=(7, 5.6), squeeze=False, sharex=True, sharey="row", layout="constrained"
    )
    for row, (quantity, label) in zip(grid, ROWS.items(), strict=True):
        for axes, lines in zip(row, columns, strict=True):
            colors = sns.color_palette("viridis", len(lines) + 1)[:-1]
            for (name, variant), color in zip(lines.items(), colors, strict=True):
                line(axes, results, variant, quantity, color, band, name)
        row[0].set_ylabel(label, fontsize=8)
    for axes in grid[0]:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=7, handlelength=1.2)
    for axes in grid[-1]:
        axes.set_xlabel("epoch", fontsize=8)
    figure.suptitle(textwrap.fill(results.experiment.question, 90), fontsize=9.5)
    footer(
        figure, results,
        f"Left: biases as drawn. Right: teachers of one size. Mean over seeds; {BANDS[band][1]}; grey: with an "
        "unrelated teacher of the same kind. Weights: cosine of the fan-in weights of a teacher node and of the "
        "student node with the greatest ρ, mean over live teacher nodes.",
    )  # fmt: skip
    return figure


def groups(runs: dict[str, Run]) -> list[dict[str, str]]:
    """The variants of each column, by name of the line: first by number of nodes, then by bias at one number."""
    by_width = sorted((run.teacher.widths[0], variant) for variant, run in runs.items() if run.teacher.bias is None)
    shifted = {tuple(run.teacher.widths) for run in runs.values() if run.teacher.bias is not None}
    by_bias = sorted((run.teacher.bias or 0, v) for v, run in runs.items() if tuple(run.teacher.widths) in shifted)
    columns = [{f"{width} nodes": variant for width, variant in by_width}]
    return columns + ([{f"bias {bias:+g}" if bias else "as drawn": v for bias, v in by_bias}] if by_bias else [])


def line(
    axes: Axes, results: Results, variant: str, quantity: str, color: tuple, band: str, name: str
) -> None:  # fmt: skip
    """Draw a variant's quantity over epochs, and that with an unrelated teacher in grey."""
    table = results.table[results.table["variant"] == variant].dropna(subset="value")
    own = table[table["quantity"] == quantity]
    sns.lineplot(own, x="epoch", y="value", color=color, errorbar=BANDS[band][0], ax=axes, label=name, legend=False)
    control = "control" if quantity == "correlation" else f"control_{quantity}"
    mean = table[table["quantity"] == control].groupby("epoch")["value"].mean()
    axes.plot(mean.index, mean, color="0.6", lw=0.8, zorder=1)
    axes.set(xlabel="", ylabel="")
    axes.tick_params(labelsize=7)
