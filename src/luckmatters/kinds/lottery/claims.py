"""Claims on lottery tickets: a branch against another, paired by seed (same teacher, mask, samples and steps)."""

from functools import partial

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from luckmatters.judging.curves import at_end
from luckmatters.judging.statistics import (
    CONFIDENCE,
    Effect,
    LacksDataError,
    Measure,
    difference,
    in_every_cell,
    mean_effect,
    sign_effect,
)
from luckmatters.tables.results import Results

TEACHERS_SIZE, LARGER = "x1", ("x2", "x3")
TENTH = "x0-2"  # on CIFAR-10 students have twice the teacher's nodes: a tenth of the dense width, as x1 is on GAUS
HALF = "x1"  # half of it: of single weights, where a tenth leaves 1 % of the hidden ones, and nothing is learned
CHANCE = 0.1  # of ten classes of as many test images
# New initial weights, and the own ones of nodes that were chosen at random: one and the same draw, twice.
CONTROLS = ("reinitialized", "random-nodes")


def final(results: Results, quantity: str, branch: str, **labels: str) -> pd.Series:
    """A whole network's quantity after a branch's last epoch, by seed. Raises LacksDataError if it is not there."""
    rows = results.select(quantity, **labels)
    rows = rows[rows["branch"] == branch]
    if rows.empty or rows["variant"].nunique() > 1:
        raise LacksDataError(f"{results.name} has no one variant with {labels} and the branch {branch}")
    return at_end(rows.set_index(["seed", "epoch"])["value"]).sort_index()


def gain(results: Results, over: str, branch: str = "rewound", **labels: str) -> pd.Series:
    """log of the final loss of one branch (`over`) over another's, by seed: above 0 where the other's is lower.

    NaN where the other diverged, +inf where `over` alone did.
    """
    ours, theirs = (-np.log(final(results, "loss", one, **labels)) for one in (branch, over))
    return difference(ours, theirs)


def chosen(results: Results, **labels: str) -> pd.Series:
    """The gain of kept nodes over the controls, averaged over those that there are; by seed."""
    rows = results.select("loss", **labels)
    there = [over for over in CONTROLS if (rows["branch"] == over).any()]
    if not there:
        raise LacksDataError(f"{results.name} has neither {' nor '.join(CONTROLS)} with {labels}")
    return pd.concat([gain(results, over, **labels) for over in there], axis=1).mean(axis=1, skipna=False)


def accuracy_gain(results: Results, over: str, branch: str = "rewound", **labels: str) -> pd.Series:
    """Final accuracy of a branch minus that of another (`over`), by seed.

    Raises LacksDataError if the better of the two is not two standard errors above chance: nothing is learned.
    """
    ours, theirs = (final(results, "accuracy", one, **labels) for one in (branch, over))
    better = max(ours, theirs, key=lambda one: one.mean())
    if not better.mean() - 2 * better.sem() > CHANCE:
        size = " ".join(labels.values())
        raise LacksDataError(f"{size}: neither {branch} nor {over} is above chance, so that they cannot be compared")
    return difference(ours, theirs)


def ratio_effect(part: pd.Series, whole: pd.Series) -> Effect:
    """Ratio of two means over the same seeds with Fieller's interval; NaN limits where that of the `whole` reaches 0.

    A ratio is in the interval if the mean of part − ratio · whole has a t interval that reaches 0.
    """
    pairs = pd.concat([part, whole], axis=1).dropna().to_numpy(float)
    seeds = len(pairs)
    if seeds < 2:
        return Effect(np.nan, np.nan, np.nan, seeds)
    (upper, lower), covariance = pairs.mean(0), np.cov(pairs.T)
    wide = stdtrit(seeds - 1, 0.5 + CONFIDENCE / 2) ** 2 / seeds * covariance
    a, b, c = lower**2 - wide[1, 1], upper * lower - wide[0, 1], upper**2 - wide[0, 0]
    if a <= 0:
        return Effect(upper / lower, np.nan, np.nan, seeds)
    half = np.sqrt(b**2 - a * c)
    return Effect(upper / lower, (b - half) / a, (b + half) / a, seeds)


def luck(results: Results, **labels: str) -> pd.DataFrame:
    """Share of survivors that initial overlap would have kept too, minus chance's: by seed, a column a layer."""
    wide = []
    for quantity in ("lucky", "lucky_chance"):
        rows = results.select(quantity, **labels)
        rows = rows[rows["branch"] == "rewound"]
        if rows.empty or rows["variant"].nunique() > 1:
            raise LacksDataError(f"{results.name} has no one variant with {labels} that says who was lucky")
        wide.append(rows.pivot(index="seed", columns="layer", values="value"))
    return wide[0] - wide[1]


def ticket(curves: Results) -> Effect:
    """The ticket against the controls, at the teacher's size."""
    return in_every_cell(chosen(curves, size=TEACHERS_SIZE))


def ticket_sign(curves: Results) -> Effect:
    """In which share of seeds it wins."""
    return sign_effect(chosen(curves, size=TEACHERS_SIZE))


def larger_tickets(curves: Results) -> Effect:
    """The same at two and at three times that size."""
    return in_every_cell(*(chosen(curves, size=size) for size in LARGER))


def own_scale(curves: Results) -> Effect:
    """The ticket against new weights of the size that so narrow layers are usually given."""
    return in_every_cell(gain(curves, "own-scale", size=TEACHERS_SIZE))


def nothing_lost(curves: Results) -> Effect:
    """The ticket against the dense network."""
    ours, dense = (
        -np.log(final(curves, "loss", branch, size=size))
        for branch, size in (("rewound", TEACHERS_SIZE), ("dense", "dense"))
    )
    return in_every_cell(difference(ours, dense))


def survivors(table: Results, by: str) -> Effect:
    """How much luckier than chance survivors were before training, averaged over layers."""
    return in_every_cell(luck(table, by=by, size=TEACHERS_SIZE).mean(axis=1, skipna=False))


def lucky_nodes_win(table: Results) -> Effect:
    """Nodes chosen by initial overlap alone against the controls."""
    return in_every_cell(chosen(table, by="initial-overlap", size=TEACHERS_SIZE))


def weights(sparsity: Results, over: str) -> Effect:
    """Rewound single weights against another branch."""
    return in_every_cell(gain(sparsity, over, by="weights", size=TEACHERS_SIZE))


def cifar(table: Results, over: str, by: str, size: str) -> Effect:
    """Rewound against another branch on CIFAR-10 with labels, by test accuracy."""
    return in_every_cell(accuracy_gain(table, over, by=by, size=size))


def cases(results: Results, over: str, branch: str = "rewound") -> dict[str, Effect]:
    """A branch's gain over another, in every variant that has both."""
    found = {}
    for variant, labels in results.labels.items():
        branches = set(results.table.loc[results.table["variant"] == variant, "branch"])
        if {over, branch} <= branches:
            its = {axis.replace("-", "_"): label for axis, label in labels.items()}
            found[variant] = mean_effect(gain(results, over, branch, **its))
    return found


# Of each claim: its experiments, and of each of these the checks with the function that gives their effect.
CLAIMS: dict[str, dict[str, dict[str, Measure]]] = {
    "lottery": {
        "lottery-curves": {
            "beats-reinitialized": ticket,
            "beats-reinitialized-sign": ticket_sign,
            "beats-reinitialized-larger": larger_tickets,
            "beats-own-scale": own_scale,
            "nothing-lost": nothing_lost,
        },
        "lottery-luck": {
            "survivors-lucky": partial(survivors, by="magnitude"),
            "survivors-lucky-spread": partial(survivors, by="spread"),
            "lucky-nodes-win": lucky_nodes_win,
        },
        "lottery-sparsity": {
            f"weights-beat-{over}": partial(weights, over=over)
            for over in ("reinitialized", "own-scale", "random-nodes", "shuffled")
        },
        "lottery-cifar": {
            "cifar-nodes": partial(cifar, over="reinitialized", by="nodes", size=TENTH),
            "cifar-nodes-own-scale": partial(cifar, over="own-scale", by="nodes", size=TENTH),
            "cifar-weights": partial(cifar, over="reinitialized", by="weights", size=HALF),
        },
    }
}
