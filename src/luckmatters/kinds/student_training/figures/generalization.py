"""Layout ``generalization``: test error against training error, and both over epochs, on finite training sets."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from luckmatters.drawing.style import BANDS, footer, headline, label_name
from luckmatters.tables.results import Results

ERRORS = ("training_error", "test_error")


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Columns: labels of the axis ``figure.columns``, or a single column; lines: all other labels."""
    options = results.experiment.figure
    columns = list(dict.fromkeys(labels.get(options.columns) for labels in results.labels.values()))
    columns.sort(key=lambda label: list(options.labels).index(label) if label in options.labels else -1)
    lines = list(dict.fromkeys(line(results, variant) for variant in results.runs))
    colors = dict(zip(lines, sns.color_palette("viridis", len(lines)), strict=True))
    figure, grid = plt.subplots(
        2, len(columns), figsize=(7.0, 5.8), squeeze=False, sharex="row", sharey=True,
        layout="constrained",
    )  # fmt: skip
    for axes in grid.flat:
        axes.set_yscale("log")  # before seaborn draws, which averages logs on such an axis
    for (above, below), column in zip(grid.T, columns, strict=True):
        for variant, labels in results.labels.items():
            if labels.get(options.columns) == column:
                color = colors[line(results, variant)]
                own = results.table[results.table["variant"] == variant]
                errors = {name: own[own["quantity"] == name] for name in ERRORS}
                against(above, errors, color)
                over_epochs(below, errors, color, options.band)
        above.set(xscale="log", xlabel="training error", title=column and label_name(results, column))
        below.set(xlabel="epoch")
        below.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        for axes in (above, below):
            axes.axhline(1, color="0.4", lw=0.8, ls=":")
        above.xaxis.set_minor_formatter(NullFormatter())
    left, right = grid[0, 0].get_xlim()
    for above in grid[0]:
        above.axline((1, 1), (10, 10), color="0.4", lw=0.8)
    grid[0, 0].set_xlim(right, left)
    grid[0, 0].set_ylabel("test error")
    grid[1, 0].set_ylabel("error")
    legend(figure, colors)
    headline(figure, results.experiment.question)
    footer(
        figure,
        results,
        "Errors: shares of the best constant output's loss; training error on the targets that students are given, "
        "test error on new samples without noise.",
        f"Lines: mean of logs over seeds; {BANDS[options.band][1]} (test error). Above, learning goes to the right; "
        "a large dot is the last epoch.",
    )
    return figure


def line(results: Results, variant: str) -> str:
    """The labels of a variant in words, without the label of the column."""
    labels = results.labels[variant].items()
    return ", ".join(label_name(results, label) for axis, label in labels if axis != results.experiment.figure.columns)


def against(axes: Axes, errors: dict[str, pd.DataFrame], color: tuple) -> None:
    """Draw test error against training error, the means of logs over seeds at each epoch."""
    means = {
        name: np.exp(np.log(rows.set_index(["epoch", "seed"])["value"]).groupby("epoch").mean())
        for name, rows in errors.items()
    }
    axes.plot(means["training_error"], means["test_error"], color=color, lw=1.3, marker="o", ms=2, mew=0)
    axes.plot(means["training_error"].iloc[-1:], means["test_error"].iloc[-1:], color=color, marker="o", ms=5)


def over_epochs(axes: Axes, errors: dict[str, pd.DataFrame], color: tuple, band: str) -> None:
    """Draw the test error with a band, and the training error dashed, over epochs; means of logs over seeds."""
    for name, style, errorbar in (("training_error", (0, (3, 1.5)), None), ("test_error", "-", BANDS[band][0])):
        known = errors[name].dropna(subset="value")
        sns.lineplot(
            known, x="epoch", y="value", color=color, errorbar=errorbar, ls=style, lw=1.2, ax=axes, legend=False
        )
    axes.set_ylabel("")


def legend(figure: Figure, colors: dict[str, tuple]) -> None:
    """Draw one legend for lines and line styles, above the panels."""
    handles = [plt.Line2D([], [], color=color, lw=2, label=name) for name, color in colors.items() if name]
    handles += [
        plt.Line2D([], [], color="0.3", lw=1.2, label="test error"),
        plt.Line2D([], [], color="0.3", lw=1.2, ls=(0, (3, 1.5)), label="training error"),
        plt.Line2D([], [], color="0.4", lw=0.8, label="no gap"),
        plt.Line2D([], [], color="0.4", lw=0.8, ls=":", label="best constant"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=7.5)
