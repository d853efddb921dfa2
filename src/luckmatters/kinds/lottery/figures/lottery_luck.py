"""Layout ``lottery-luck``: were survivors lucky before training, and how much of the ticket's advantage is that?"""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from luckmatters.drawing.style import FEWEST, footer, label_name
from luckmatters.judging.statistics import Effect, mean_effect
from luckmatters.judging.variants import Variants, this
from luckmatters.kinds.lottery.claims import gain, luck, ratio_effect
from luckmatters.kinds.lottery.figures.branches import LOOKS, by_seed, pruned
from luckmatters.tables.results import Results

# A colour for each criterion, in the order of the grid.
COLORS = [sns.color_palette("colorblind")[index] for index in (0, 1, 2, 4, 5, 7, 8, 9)]
LUCK = "initial-overlap"
OTHERS = ("random-nodes", "reinitialized")


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Columns: sizes. Rows: lucky survivors by layer; gains by criterion; gain against head start."""
    axis = results.experiment.figure.columns
    sizes = list(dict.fromkeys(labels[axis] for labels in results.labels.values()))
    criteria = list(dict.fromkeys(labels["by"] for labels in results.labels.values()))
    criteria.sort(key=lambda criterion: criterion == LUCK)  # last: here all survivors are lucky by definition
    colors = dict(zip(criteria, COLORS, strict=False))
    figure, grid = plt.subplots(
        3,
        len(sizes),
        figsize=(max(6.2, 1.2 + 2.7 * len(sizes)), 7.8),
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    for column, size in zip(grid.T, sizes, strict=True):
        column[0].set_title(label_name(results, size), fontsize=9)
        _survivors(column[0], results, size, {by: c for by, c in colors.items() if by != LUCK})
        _gains(column[1], results, size, colors)
        _scatter(column[2], results, size, colors)
    grid[0, 0].set_ylabel("survivors that were\nlucky before training", fontsize=8)
    grid[1, 0].set_ylabel("gain of rewound: log of the\nother's final loss over its own", fontsize=8)
    grid[2, 0].set_ylabel("gain over random nodes", fontsize=8)
    _legend(figure, results, colors)
    footer(
        figure, results,
        pruned(results),
        "Mean over seeds, 95 % intervals; bottom: a point a seed; squares: kept by fan-out × spread, re-initialized.",
        "Head start: before training, mean over layers.",
        "Lucky: kept if overlap with the teacher before training decided.",
        *explained(results, sizes),
    )  # fmt: skip
    return figure


def explained(results: Results, sizes: list[str]) -> list[str]:
    """Sentences, a size each: the gain over random nodes of tickets, and of nodes chosen by initial overlap alone.

    The share of the second gain in the first is given only where both are gains: where neither interval reaches 0.
    """
    sentences = []
    for size in sizes:
        gains = [gain(results, _which(results, by, size), "random-nodes") for by in ("contribution", LUCK)]
        ticket, lucky = map(mean_effect, gains)
        share = ""
        if min(ticket.low, lucky.low) > 0:
            ratio = ratio_effect(gains[1], gains[0])
            share = f", {ratio.estimate:.0%} of it ({ratio.low:.0%} to {ratio.high:.0%})"
        sentences.append(
            f"{label_name(results, size)}: over random nodes tickets by fan-out × spread gain "
            f"{_with_interval(ticket)}, "
            f"lucky nodes {_with_interval(lucky)}{share}."
        )
    return sentences


def _with_interval(effect: Effect) -> str:
    return f"{effect.estimate:.2f} ({effect.low:.2f} to {effect.high:.2f})"


def _variant(results: Results, by: str, size: str) -> str:
    axis = results.experiment.figure.columns
    return next(name for name, labels in results.labels.items() if (labels["by"], labels[axis]) == (by, size))


def _which(results: Results, by: str, size: str) -> Variants:
    return this(results, _variant(results, by, size))


def _survivors(axes: Axes, results: Results, size: str, colors: dict[str, object]) -> None:
    """Draw the share of lucky survivors by layer, a line a criterion, and the share by chance."""
    axis = results.experiment.figure.columns
    rows = results.select("lucky_chance")
    rows = rows[rows[axis] == size]
    chance = rows[rows["branch"] == "rewound"].groupby("layer")["value"].mean()
    axes.plot(chance.index, chance, color="0.4", ls=":", lw=1.2)
    for number, (by, color) in enumerate(colors.items()):
        above = luck(results, _which(results, by, size))
        effects = [mean_effect(above[layer] + chance[layer]) for layer in above]
        x = [int(layer) + 0.06 * (number - 1) for layer in above]
        _points(axes, x, effects, color=color, marker="o", ls="-")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="layer", ylim=(0, 1.02))


def _gains(axes: Axes, results: Results, size: str, colors: dict[str, object]) -> None:
    """Draw the gain of the rewound branch over random nodes and over new weights, for each criterion."""
    axes.axhline(0, color="0.4", lw=0.8, ls=":")
    for number, (by, color) in enumerate(colors.items()):
        for shift, over in zip((-0.15, 0.15), OTHERS, strict=True):
            effect = mean_effect(gain(results, _which(results, by, size), over))
            _points(axes, [number + shift], [effect], color=color, marker=LOOKS[over].marker, ls="")
    axes.set_xticks(range(len(colors)), [label_name(results, by).replace(" ", "\n", 1) for by in colors], fontsize=6.5)


def _scatter(axes: Axes, results: Results, size: str, colors: dict[str, object]) -> None:
    """Draw gain over random nodes against head start over them, a point a seed; grey: the ticket re-initialized."""
    axes.axhline(0, color="0.4", lw=0.8, ls=":")
    axes.axvline(0, color="0.4", lw=0.8, ls=":")
    for by, color in {**colors, None: "0.6"}.items():
        variant, branch = _variant(results, by or "contribution", size), "rewound" if by else "reinitialized"
        before, chance = (by_seed(results, variant, key, "correlation").iloc[:, 0] for key in (branch, "random-nodes"))
        gained = gain(results, this(results, variant), "random-nodes", branch)
        marker = "o" if by else LOOKS[branch].marker
        axes.scatter(before - chance, gained.reindex(before.index), s=12, color=color, marker=marker)
    axes.set_xlabel("head start in $\\bar\\rho$ over random nodes", fontsize=8)


def _points(axes: Axes, x: list[float], effects: list, **style: object) -> None:
    y = [effect.estimate for effect in effects]
    shown = [e.seeds >= FEWEST for e in effects]
    errors = [
        [(e.estimate - e.low) * on for e, on in zip(effects, shown, strict=True)],
        [(e.high - e.estimate) * on for e, on in zip(effects, shown, strict=True)],
    ]
    axes.errorbar(x, y, yerr=errors, ms=4, lw=1.2, elinewidth=0.9, capsize=2, **style)


def _legend(figure: Figure, results: Results, colors: dict[str, object]) -> None:
    handles = [
        plt.Line2D([], [], color=color, marker="o", ms=4, label=f"kept by {label_name(results, by)}")
        for by, color in colors.items()
    ]
    handles += [
        plt.Line2D([], [], color="0.4", marker=LOOKS[over].marker, ms=4, ls="", label=f"gain over {LOOKS[over].name}")
        for over in OTHERS
    ]
    handles.append(plt.Line2D([], [], color="0.4", ls=":", label="chance; no gain"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=8)
