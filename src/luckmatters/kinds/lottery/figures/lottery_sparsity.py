"""Layout ``lottery-sparsity``: final loss and ρ̄ (or accuracy) against the size that is kept, a line a branch."""

import math

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from luckmatters.drawing.style import FEWEST, footer, label_name, plain_log
from luckmatters.kinds.lottery.claims import cases
from luckmatters.kinds.lottery.figures.branches import (
    LOGARITHMIC,
    LOOKS,
    axis_label,
    branches,
    by_seed,
    dense_variant,
    interval,
    legend,
    pruned,
    shown,
)
from luckmatters.tables.results import Results

MOST_COLUMNS = 5  # side by side
APART = 1.035  # factor between lines, which would otherwise hide each other's intervals


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Columns: the labels of ``figure.columns`` (what is pruned, by which criterion)."""
    axis, quantities = results.experiment.figure.columns, shown(results)
    own_last = sorted(results.runs, key=lambda variant: results.runs[variant].experiment == results.name)
    order = own_last if results.experiment.figure.included_first else list(results.runs)
    labels = list(dict.fromkeys(results.labels[variant][axis] for variant in order))
    figure, columns = panels(len(quantities), len(labels))
    dense = dense_variant(results)
    for column, label in zip(columns, labels, strict=True):
        column[0].set_title(label_name(results, label), fontsize=8.5)
        variants = [variant for variant, own in results.labels.items() if own[axis] == label]
        for axes, quantity in zip(column, quantities, strict=True):
            drawn = [branch for branch in branches(results) if branch != "dense"]
            for number, branch in enumerate(drawn):
                _line(axes, results, variants, branch, quantity, APART ** (number - (len(drawn) - 1) / 2))
            if dense:
                level = interval(by_seed(results, dense, "dense", quantity).iloc[:, -1], quantity).estimate
                axes.axhline(level, color=LOOKS["dense"].color, ls=LOOKS["dense"].line, lw=1)
    sizes = sorted({run.settings.pruning.kept for run in results.runs.values()})
    for axes, quantity in zip(columns[0], quantities, strict=True):
        if quantity in LOGARITHMIC:
            plain_log(axes)
    for column in columns:
        column[-1].set_xscale("log")
        column[-1].xaxis.set_major_locator(FixedLocator(sizes))
        column[-1].xaxis.set_minor_locator(NullLocator())
        column[-1].set_xticklabels([f"{size:g}" for size in sizes])
        column[-1].set_xlabel("kept (teacher's sizes)", fontsize=8)
        for axes, quantity in zip(column, quantities, strict=True):
            if axes.get_subplotspec().is_first_col():
                axes.set_ylabel(f"final {axis_label(results, quantity)}", fontsize=8)
    legend(figure, branches(results))
    footer(
        figure, results,
        pruned(results),
        f"Mean over seeds (of logarithms for the loss) with its 95 % interval (from {FEWEST} seeds on). Lines are "
        "drawn a little apart, sideways.",
        *(not_lost(results, over) for over in ("reinitialized", "own-scale", "random-nodes")),
    )  # fmt: skip
    return figure


def panels(quantities: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    """A figure, and by column the panels, a panel a quantity.

    More than MOST_COLUMNS columns are split into banks, each bank below the other.
    """
    banks = math.ceil(columns / MOST_COLUMNS)
    wide = math.ceil(columns / banks)
    figure, grid = plt.subplots(
        banks * quantities, wide, figsize=(max(7.2, 1.0 + 1.75 * wide), 1.9 + 2.2 * banks * quantities),
        squeeze=False, sharex=True, layout="constrained",
    )  # fmt: skip
    by_column = [
        [grid[bank * quantities + row, place] for row in range(quantities)]
        for bank in range(banks)
        for place in range(wide)
    ]
    for axes in (axes for column in by_column[columns:] for axes in column):
        axes.remove()
    for column in by_column[1:columns]:
        for axes, first in zip(column, by_column[0], strict=True):
            axes.sharey(first)
    for column in by_column[:columns]:
        for axes in column:
            axes.tick_params(labelleft=axes.get_subplotspec().is_first_col(), labelbottom=axes is column[-1])
    return figure, by_column[:columns]


def not_lost(results: Results, over: str) -> str:
    """A sentence on the variants where the interval of the ticket's paired gain over a branch reaches 0 or is below."""
    gains = cases(results, over)
    if not gains:
        return ""
    below = [variant for variant, effect in gains.items() if effect.high < 0]
    reaching = [variant for variant, effect in gains.items() if not effect.low > 0 and variant not in below]
    gained = f"Gain of rewound over {LOOKS[over].name} (final loss, paired by seed, 95 %)"
    lost = f"; it lies below 0 in {', '.join(below)}" if below else ""
    return f"{gained}: the interval reaches 0 in {', '.join(reaching) or 'none'}{lost}."


def _line(axes: Axes, results: Results, variants: list[str], branch: str, quantity: str, apart: float) -> None:
    """Draw a branch over sizes, without the variants that lack the branch."""
    points = []
    for variant in variants:
        rows = results.table[(results.table["variant"] == variant) & (results.table["branch"] == branch)]
        if not rows.empty:
            effect = interval(by_seed(results, variant, branch, quantity).iloc[:, -1], quantity)
            points.append((results.runs[variant].settings.pruning.kept, effect))
    if not points:
        return
    points.sort(key=lambda point: point[0])
    look, y = LOOKS[branch], [effect.estimate for _, effect in points]
    errors = [[e.estimate - e.low for _, e in points], [e.high - e.estimate for _, e in points]]
    axes.errorbar(
        [kept * apart for kept, _ in points], y, yerr=errors, color=look.color, ls=look.line, lw=1.2,
        marker=look.marker, ms=4, elinewidth=0.8, capsize=1.5,
    )  # fmt: skip
