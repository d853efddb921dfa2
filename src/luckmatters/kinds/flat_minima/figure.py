"""Layout ``flat-minima``: changes of fan-in of lucky and irrelevant nodes, the Hessian's spectrum, distances."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from luckmatters.drawing.style import (
    FEWEST,
    LAYER_COLORS,
    NETWORK_COLOR,
    footer,
    label_name,
    layer_name,
    steps_an_epoch,
)
from luckmatters.judging.statistics import Effect, mean_effect
from luckmatters.kinds.flat_minima.claims import NEAR_ZERO, OWN_LENGTH
from luckmatters.tables.results import Results

LINES = {"irrelevant": "-", "lucky": (0, (1, 1.2))}
MARKERS = {"irrelevant": "o", "lucky": "s"}
EARLY = "0.6"
HARDLY = 0.01  # share of the output's variance that the claim allows a change to move
ALLOWED = 1.1  # loss over the unchanged loss that the claim allows
QUANTITIES = {"moved": "output moved\n(share of its variance)", "loss_ratio": "loss over\nunchanged loss"}
DISTANCES = {
    "teacher_distance": "distance to the closest\nteacher node",
    "start_distance": "distance to the node's\nown start",
}


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Rows: output and loss against the change, a column a layer; spectrum by m, and distances."""
    variant = max(results.runs, key=lambda name: results.runs[name].trained.settings.student.multiplier)
    table = results.table[results.table["variant"] == variant]
    layers = sorted(int(layer) for layer in table["layer"].dropna().unique())
    figure = plt.figure(figsize=(7.0, 7.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(2, 1.15))
    grid = above.subplots(len(QUANTITIES), len(layers), squeeze=False, sharex=True, sharey="row")
    for row, (quantity, name) in zip(grid, QUANTITIES.items(), strict=True):
        row[0].set_ylabel(name, fontsize=8)
        for axes, layer in zip(row, layers, strict=True):
            changes(axes, table[(table["quantity"] == quantity) & (table["layer"] == layer)], layer)
            axes.axhline(HARDLY if quantity == "moved" else ALLOWED, color="0.3", lw=0.8, ls=":")
    for axes, layer in zip(grid[0], layers, strict=True):
        axes.set_title(layer_name(layer), fontsize=8.5)
    above.supxlabel("change of fan-in (in lengths of the fan-in)", fontsize=8)
    spectra, counts, *others = below.subplots(1, 4)
    spectrum(spectra, counts, results)
    for axes, (quantity, name) in zip(others, DISTANCES.items(), strict=True):
        distances(axes, table[table["quantity"] == quantity], layers)
        axes.set_title(name, fontsize=8)
    legend(figure, results, variant, sentence(table))
    settings = results.runs[variant].settings
    footer(
        figure, results,
        f"Above: {label_name(results, results.labels[variant].get('multiplier', variant))}; lucky nodes: the best "
        "students of the teacher nodes; irrelevant: as many others, with the least fan-out norm; both chosen at the "
        f"end. Random directions ({settings.directions}), all nodes of a group and layer at once. Dotted lines: a "
        "hundredth of the output's variance; 1.1 times the loss.",
        fan_out(table),
        "Below: near zero: at most a thousandth of the greatest eigenvalue in absolute value; distance: 1 − cosine of "
        "fan-in weights. Means over seeds (of logarithms above) with 95 % intervals.",
    )  # fmt: skip
    return figure


def changes(axes: Axes, rows: pd.DataFrame, layer: int) -> None:
    """Draw a quantity of a layer against the change's length, a line a group and epoch."""
    last = rows["epoch"].max()
    for (group, epoch), part in rows.groupby(["group", "epoch"]):
        log = part.assign(value=np.log(part["value"].clip(lower=np.finfo(float).tiny)))
        effects = [(radius, mean_effect(own["value"])) for radius, own in log.groupby("radius")]
        x, y = zip(*effects, strict=True)
        color = LAYER_COLORS[layer] if epoch == last else EARLY
        points(axes, x, [_exp(effect) for effect in y], color=color, ls=LINES[group], marker=MARKERS[group])
    axes.set(xscale="log", yscale="log")


def spectrum(shares: Axes, counts: Axes, results: Results) -> None:
    """Draw the share of eigenvalues near zero, and the number of the others, against the multiplier."""
    sizes = {name: run.trained.settings.student.multiplier for name, run in results.runs.items()}
    for early in (True, False):
        found = {"share": [], "count": []}
        for variant in sizes:
            share, parameters = (_at(results, name, variant, early=early) for name in (NEAR_ZERO, "parameters"))
            found["share"].append(mean_effect(share))
            found["count"].append(mean_effect((1 - share) * parameters))
        color = EARLY if early else NETWORK_COLOR
        points(shares, sizes.values(), found["share"], color=color, marker="o", ls="-")
        points(counts, sizes.values(), found["count"], color=color, marker="o", ls="-")
    parameters = [_at(results, "parameters", variant, early=False).mean() for variant in sizes]
    counts.plot(sizes.values(), parameters, color="0.3", lw=0.8, ls=(0, (4, 2)))
    counts.set_yscale("log")
    shares.set_title("share of Hessian's\neigenvalues near zero", fontsize=8)
    counts.set_title("number of others\n(dashed: parameters)", fontsize=8)
    for axes in (shares, counts):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator([*sizes.values()]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels(sizes.values())
        axes.set_xlabel("m", fontsize=8)


def _at(results: Results, quantity: str, variant: str, *, early: bool) -> pd.Series:
    """A quantity of a variant at the early or at the last epoch, by seed."""
    rows = results.select(quantity)
    rows = rows[rows["variant"] == variant]
    return rows[rows["epoch"] == (rows["epoch"].min() if early else rows["epoch"].max())].set_index("seed")["value"]


def distances(axes: Axes, rows: pd.DataFrame, layers: Sequence[int]) -> None:
    """Draw distances by layer: at the end by group, in grey before training where that was measured."""
    last = rows["epoch"].max()
    for (group, epoch), part in rows.groupby(["group", "epoch"]):
        if epoch not in (0, last):
            continue
        effects = [mean_effect(part.loc[part["layer"] == layer, "value"]) for layer in layers]
        shift = 0.12 if group == "lucky" else -0.12
        for layer, effect in zip(layers, effects, strict=True):
            color = LAYER_COLORS[layer] if epoch == last else EARLY
            points(axes, [layer + shift], [effect], color=color, ls="", marker=MARKERS[group])
    axes.set_xticks(layers)
    axes.set_xlabel("layer", fontsize=8)


def points(axes: Axes, x: Sequence[float], effects: Sequence[Effect], **style: object) -> None:
    """Draw means with their intervals; means of fewer than FEWEST seeds have none."""
    y, low, high = (np.array([getattr(effect, name) for effect in effects]) for name in ("estimate", "low", "high"))
    few = np.array([effect.seeds < FEWEST for effect in effects])
    errors = np.where(few, np.nan, [y - low, high - y])
    axes.errorbar([*x], y, yerr=errors, ms=3.5, lw=1.2, elinewidth=0.8, capsize=1.5, **style)


def _exp(effect: Effect) -> Effect:
    return Effect(*np.exp([effect.estimate, effect.low, effect.high]), effect.seeds)


def sentence(table: pd.DataFrame) -> str:
    """What a change by the nodes' own length moves at the end, in the layers where either group moves most."""
    rows = table[(table["quantity"] == "moved") & (table["radius"] == OWN_LENGTH)]
    rows = rows[rows["epoch"] == rows["epoch"].max()]
    means = np.exp(np.log(rows["value"]).groupby([rows["group"], rows["layer"]]).mean())
    irrelevant, lucky = (means[group].max() for group in LINES)
    verdict = "hardly move" if irrelevant < HARDLY else "do move"
    return (
        f"Weights of irrelevant nodes, changed by their own length, {verdict} the output:\n"
        f"by {irrelevant:.2g} of its variance in the layer that moves it most; weights of lucky nodes by {lucky:.2g}"
    )


def fan_out(table: pd.DataFrame) -> str:
    """A sentence on the fan-out norms of both groups at the measured epochs, means over layers and seeds."""
    means = table[table["quantity"] == "fan_out"].groupby(["group", "epoch"])["value"].mean()
    texts = [f"{group} " + " → ".join(f"{value:.2g}" for value in means[group]) for group in LINES]
    return f"Fan-out norm before training, at the earlier snapshot and at the end: {', '.join(texts)}."


def legend(figure: Figure, results: Results, variant: str, sentence: str) -> None:
    """Draw the title and one legend for groups and epochs, above the panels."""
    run = results.runs[variant]
    handles = [
        plt.Line2D([], [], color="0.2", ls=LINES[group], marker=MARKERS[group], ms=4, label=f"{group} nodes")
        for group in LINES
    ]
    handles += [
        plt.Line2D([], [], color=color, lw=3, label=name)
        for color, name in (
            (
                NETWORK_COLOR,
                f"after {run.trained.settings.training.epochs * steps_an_epoch(run):,} steps (layers: their colour)",
            ),
            (EARLY, f"after {run.settings.early_epoch * steps_an_epoch(run):,} steps (distances: before training)"),
        )
    ]
    options = {"title": sentence, "title_fontsize": 9.5, "fontsize": 8}
    figure.legend(handles=handles, loc="outside upper center", ncols=2, **options)
