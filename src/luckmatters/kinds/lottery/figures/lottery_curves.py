"""Layout ``lottery-curves``: evaluation loss and ρ̄ (or accuracy) against steps, a line a branch, a column a size."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.drawing.style import footer, label_name, plain_log, steps_an_epoch
from luckmatters.kinds.lottery.claims import cases
from luckmatters.kinds.lottery.figures.branches import (
    LOGARITHMIC,
    LOOKS,
    axis_label,
    branches,
    by_seed,
    dense_variant,
    legend,
    pruned,
    shown,
)
from luckmatters.tables.results import Results


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Columns: variants by the label of ``figure.columns``; the dense variant is a line in every panel."""
    dense, axis = dense_variant(results), results.experiment.figure.columns
    variants = [variant for variant in results.runs if variant != dense]
    quantities = shown(results)
    figure, grid = plt.subplots(
        len(quantities), len(variants), figsize=(1.0 + 2.6 * len(variants), 1.6 + 2.3 * len(quantities)),
        squeeze=False, sharex=True, sharey="row", layout="constrained",
    )  # fmt: skip
    for column, variant in zip(grid.T, variants, strict=True):
        column[0].set_title(label_name(results, results.labels[variant][axis]), fontsize=9)
        for axes, quantity in zip(column, quantities, strict=True):
            for branch in branches(results):
                _line(axes, results, dense if branch == "dense" else variant, branch, quantity)
            if quantity in LOGARITHMIC:
                plain_log(axes)
    for axes, quantity in zip(grid[:, 0], quantities, strict=True):
        axes.set_ylabel(axis_label(results, quantity), fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("steps")
    legend(figure, branches(results))
    like = comparison(results, "own-scale", "rewound-own-scale")
    footer(
        figure, results,
        pruned(results),
        "Mean over seeds (of logarithms for the loss); band: ± 1 standard error. Not retrained: at the start alone.",
        "Paired by seed, with 95 % intervals:",
        *(comparison(results, over) for over in ("reinitialized", "own-scale", "random-nodes")),
        f"Exploratory, added after a first run: {like}" if like else "",
    )  # fmt: skip
    return figure


def comparison(results: Results, over: str, branch: str = "rewound") -> str:
    """A branch's gain over the branch `over` in words, variant by variant; empty without such variants."""
    effects = cases(results, over, branch)
    gains = [f"{variant} {e.estimate:.2f} ({e.low:.2f} to {e.high:.2f})" for variant, e in effects.items()]
    return f"Log of final loss, {LOOKS[over].name} over {LOOKS[branch].name}: {', '.join(gains)}." if gains else ""


def _line(axes: Axes, results: Results, variant: str | None, branch: str, quantity: str) -> None:
    """Draw a branch of a variant, if the variant has the branch."""
    wide = by_seed(results, variant, branch, quantity) if variant else pd.DataFrame()
    if wide.empty:
        return
    look, values = LOOKS[branch], np.log(wide) if quantity in LOGARITHMIC else wide
    if values.shape[1] == 1:
        level = values.iloc[:, 0].mean()
        axes.axhline(np.exp(level) if quantity in LOGARITHMIC else level, color=look.color, ls=look.line, lw=1.2)
        return
    x = values.columns.to_numpy() * steps_an_epoch(results.runs[variant])
    mean, error = values.mean(), values.sem()
    line, *band = (np.exp(y) if quantity in LOGARITHMIC else y for y in (mean, mean - error, mean + error))
    axes.plot(x, line, color=look.color, ls=look.line, lw=1.5, marker=look.marker, ms=3, markevery=(0.1, 0.2))
    axes.fill_between(x, *band, color=look.color, alpha=0.12, lw=0)
