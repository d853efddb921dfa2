"""Layout ``loss-spread``: final losses over starts and over sample orders, and what the start explains.

A start is a student's initial weights. Each start has two students, which differ in the order of samples alone.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.drawing.style import NETWORK_COLOR, footer
from luckmatters.judging.statistics import Effect, LacksDataError
from luckmatters.kinds.student_training.claims.initial_weights import (
    explained,
    log_losses,
    luck_and_loss,
    luck_explains,
)
from luckmatters.kinds.student_training.claims.over_parameterization import multipliers
from luckmatters.tables.results import Results

ORDERS_COLOR = sns.color_palette("colorblind")[3]  # no layer has this colour
SHIFT = 0.17  # of both distributions of a multiplier to the left and right


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Top: losses by multiplier; below, a column a multiplier: loss against loss, and loss against luck."""
    ms = multipliers(results)
    figure = plt.figure(figsize=(7.0, 7.4), layout="constrained")
    grid = figure.add_gridspec(3, len(ms), height_ratios=[1.3, 1, 1])
    distributions(figure.add_subplot(grid[0, :]), {m: log_losses(results, m) for m in ms})
    for column, m in enumerate(ms):
        twice(figure.add_subplot(grid[1, column]), results, m)
        luck(figure.add_subplot(grid[2, column]), results, m)
        if not column:
            figure.axes[-2].set_ylabel("final loss, other samples", fontsize=8)
            figure.axes[-1].set_ylabel("final loss, mean of both", fontsize=8)
    figure.suptitle(headline(results, ms), fontsize=9.5)
    epochs = {run.settings.student.multiplier: run.settings.training.epochs for run in results.runs.values()}
    footer(
        figure,
        results,
        f"Epochs: {', '.join(f'{epochs[m]} at m = {m}' for m in ms)}.",
        "Top: a point a student; bars: ± one standard deviation. Orders: how the two students of a start depart from "
        "their mean, times √2, so that the spread is that of single students. Middle: a point a start; dashed: equal "
        "losses; what the start explains is the intraclass correlation of log losses, a share of their variance. "
        "Bottom: a point a start; r: Spearman's rank correlation. Brackets: 95 % intervals (jackknife over starts).",
    )
    return figure


def headline(results: Results, ms: list[int]) -> str:
    """What the figure finds, in a sentence: at which multipliers starts make losses differ beyond sample orders."""
    sentence = "Different initial weights, different generalization"
    shares = {m: measured(explained, results, m) for m in ms}
    beyond = [f"{m}" for m, share in shares.items() if share and share.low > 0]
    if not any(shares.values()):
        return f"{sentence}? Too few starts to say."
    if not beyond:
        return f"{sentence}? At no m do losses differ over starts beyond chance of the sample order."
    others = [f"{m}" for m in ms if f"{m}" not in beyond]
    rest = f", not shown at m = {', '.join(others)}" if others else ""
    return f"{sentence}: losses differ over starts\nmore than over sample orders at m = {', '.join(beyond)}{rest}"


def measured(function, results: Results, m: int) -> Effect | None:
    """An effect at a multiplier, or None with too few starts."""
    try:
        return function(results, [m])
    except LacksDataError:
        return None


def distributions(axes: Axes, losses: dict[int, pd.DataFrame]) -> None:
    """Draw the final losses of each multiplier over their geometric mean: over starts, and over orders of a start."""
    random = np.random.default_rng(0)  # of horizontal places
    for place, pairs in enumerate(losses.values()):
        centred = pairs - pairs.to_numpy().mean()
        within = np.sqrt(2) * pairs.sub(pairs.mean(axis=1), axis=0)
        for values, side, color in ((centred, -SHIFT, NETWORK_COLOR), (within, SHIFT, ORDERS_COLOR)):
            values = values.to_numpy().ravel()
            spread = np.sqrt(np.square(values).sum() / (values.size - 1 if side < 0 else values.size))
            jitter = random.uniform(-0.1, 0.1, values.size)
            axes.plot(place + side + jitter, np.exp(values), ".", ms=4, mew=0, alpha=0.6, color=color)
            axes.errorbar(
                place + side, 1, [[1 - np.exp(-spread)], [np.exp(spread) - 1]], color=color, capsize=5, lw=1.5
            )
    axes.axhline(1, color="0.4", lw=0.8, ls=":")
    axes.set_xticks(range(len(losses)), [f"m = {m}" for m in losses])
    axes.grid(axis="x", visible=False)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(plt.MaxNLocator(6))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.set_ylabel("final evaluation loss\nover the mean at this m", fontsize=8)
    names = {
        "over starts, each with\nits own samples": NETWORK_COLOR,
        "over sample orders\nfrom one start": ORDERS_COLOR,
    }
    handles = [plt.Line2D([], [], marker="o", ms=4, color=color, label=name) for name, color in names.items()]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)


def twice(axes: Axes, results: Results, m: int) -> None:
    """Draw the final losses of both students of each start against each other."""
    losses = np.exp(log_losses(results, m))
    limits = [losses.to_numpy().min() * 0.97, losses.to_numpy().max() * 1.03]
    axes.plot(limits, limits, color="0.4", lw=0.8, ls=(0, (4, 2)))
    axes.plot(losses["first"], losses["second"], ".", ms=4, mew=0, alpha=0.8, color=NETWORK_COLOR)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    share = measured(explained, results, m)
    text = f"start explains {share.estimate:.0%}\n[{share.low:.0%}, {share.high:.0%}]" if share else "too few starts"
    panel(axes, f"m = {m}\n{text}", "final loss, own samples")


def luck(axes: Axes, results: Results, m: int) -> None:
    """Draw the final loss of each start against the initial ρ̄."""
    starts = luck_and_loss(results, m)
    axes.plot(starts["luck"], np.exp(starts["loss"]), ".", ms=4, mew=0, alpha=0.8, color=NETWORK_COLOR)
    effect = measured(luck_explains, results, m)
    text = f"r = {-effect.estimate:.2f}\n[{-effect.high:.2f}, {-effect.low:.2f}]" if effect else "too few starts"
    panel(axes, f"m = {m}\n{text}", "initial $\\bar\\rho$")


def panel(axes: Axes, title: str, x: str) -> None:
    """Set the title and the axes of a small panel."""
    axes.set_title(title.replace("-", "−"), fontsize=8)
    axes.set_xlabel(x, fontsize=8)
    axes.tick_params(labelsize=7)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(plt.MaxNLocator(4))
