"""Layout ``node-removal``: the loss of what is left over the whole network's loss, against the size that is kept."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from luckmatters.drawing.style import FEWEST, LABELS, footer, plain_log, steps_an_epoch
from luckmatters.judging.statistics import mean_effect
from luckmatters.judging.variants import this
from luckmatters.kinds.node_removal.claims import gain
from luckmatters.tables.results import Results

BRANCHES = {"removed": "removed,\nno further step", "fine-tuned": "after fine-tuning"}
_COLORS = sns.color_palette("colorblind")
# The colour and marker of each criterion; the first two rank by fan-out.
LOOKS = {
    "fan-out": ("fan-out norm", _COLORS[0], "o"),
    "contribution": (LABELS["contribution"], _COLORS[9], "v"),
    "overlap": (LABELS["overlap"], _COLORS[1], "s"),
    "random": ("at random", "0.45", "X"),
}
ALLOWED = 1.1  # loss over the whole network's loss that the claim allows
APART = 1.035  # factor between lines, which would otherwise hide each other's intervals


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Columns: epochs after which nodes are removed; rows: without and with fine-tuning."""
    ((variant, run),) = results.runs.items()
    epochs, sizes = sorted(run.settings.epochs), sorted(run.settings.kept)
    figure, grid = plt.subplots(
        len(BRANCHES), len(epochs), figsize=(max(5.5, 0.9 + 1.9 * min(len(epochs), 3.2)), 5.2),
        squeeze=False, sharex=True, sharey="row", layout="constrained",
    )  # fmt: skip
    for row, (branch, name) in zip(grid, BRANCHES.items(), strict=True):
        row[0].set_ylabel(f"{name}:\nloss over whole network's", fontsize=8)
        for axes, epoch in zip(row, epochs, strict=True):
            for number, criterion in enumerate(run.settings.criteria):
                line(axes, results, variant, branch, criterion, epoch, APART ** (number - 1.5))
            axes.axhline(1, color="0.3", lw=0.8)
            axes.axhline(ALLOWED, color="0.3", lw=0.8, ls=":")
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(FixedLocator(sizes))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xticklabels([f"{size:g}" for size in sizes])
        plain_log(row[0])
    trained = run.trained.settings
    for axes, epoch in zip(grid[0], epochs, strict=True):
        axes.set_title(f"after {epoch * steps_an_epoch(run):,} steps", fontsize=8.5)
    for axes in grid[-1]:
        axes.set_xlabel("kept (teacher's sizes)", fontsize=8)
    looks = [LOOKS[criterion] for criterion in run.settings.criteria]
    handles = [plt.Line2D([], [], color=c, marker=m, ms=4, label=f"kept {_by(name)}") for name, c, m in looks]
    handles.append(plt.Line2D([], [], color="0.3", lw=0.8, label="as good as the whole network"))
    handles.append(plt.Line2D([], [], color="0.3", lw=0.8, ls=":", label=f"{ALLOWED:g} times the loss"))
    options = {"title": sentence(results), "title_fontsize": 9.5, "fontsize": 8}
    figure.legend(handles=handles, loc="outside upper center", ncols=3, **options)
    footer(
        figure, results,
        f"Evaluation losses, mean over seeds of logarithms with its 95 % interval, paired by seed; students of "
        f"{trained.student.multiplier} times the teacher's width; fine-tuning: {run.settings.fine_tuning:,} steps, of "
        "the whole network too. Lines are drawn a little apart, sideways.",
    )  # fmt: skip
    return figure


def sentence(results: Results) -> str:
    """What is found at the end of training at the smallest size, with nodes kept by the first criterion."""
    ((variant, run),) = results.runs.items()
    which, criterion, size = this(results, variant), run.settings.criteria[0], min(run.settings.kept)
    by_branch = (mean_effect(gain(results, which, branch, criterion, size)).estimate for branch in BRANCHES)
    removed, tuned = (f"{np.exp(-estimate):.3g}" for estimate in by_branch)
    return (
        f"Nodes with the greatest {LOOKS[criterion][0]} kept, {size:g} × teacher, and the others removed:\n"
        f"{removed} times the whole network's loss, {tuned} times after a short fine-tuning"
    )


def _by(name: str) -> str:
    return name if name.startswith("at ") else f"by {name}"


def line(axes: Axes, results: Results, variant: str, branch: str, criterion: str, epoch: int, apart: float) -> None:
    """Draw a criterion's losses over the whole network's loss at an epoch, over sizes."""
    sizes = sorted(results.runs[variant].settings.kept)
    gains = [gain(results, this(results, variant), branch, criterion, size, epoch=epoch) for size in sizes]
    effects = [mean_effect(one) for one in gains]
    _, color, marker = LOOKS[criterion]
    y, low, high = (np.exp([-getattr(e, name) for e in effects]) for name in ("estimate", "high", "low"))
    shown = np.array([effect.seeds >= FEWEST for effect in effects])
    axes.errorbar(
        np.multiply(sizes, apart), y, yerr=np.where(shown, [y - low, high - y], np.nan), color=color, marker=marker,
        ms=3.5, lw=1.2, elinewidth=0.8, capsize=1.5,
    )  # fmt: skip
