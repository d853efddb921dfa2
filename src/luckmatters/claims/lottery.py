"""Claims on lottery tickets: a branch against another, paired by seed (same teacher, mask, samples and steps)."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from luckmatters.claims.overlap import Effects, at_end, smallest
from luckmatters.claims.statistics import CONFIDENCE, Effect, LacksDataError, mean_effect, sign_effect
from luckmatters.results import Results

TEACHERS_SIZE, LARGER = "x1", ("x2", "x3")
TENTH = "x0-2"  # on CIFAR-10 students have twice the teacher's nodes: a tenth of the dense width, as x1 is on GAUS
HALF = "x1"  # half of it: of single weights, where a tenth leaves 1 % of the hidden ones, and nothing is learned
CHANCE = 0.1  # of ten classes of as many test images


def final(results: Results, quantity: str, branch: str, **labels: str) -> pd.Series:
    """A whole network's quantity after a branch's last epoch, by seed. Raises LacksDataError if it is not there."""
    rows = results.select(quantity, **labels)
    rows = rows[rows["branch"] == branch]
    if rows.empty or rows["variant"].nunique() > 1:
        raise LacksDataError(f"{results.name} has no one variant with {labels} and the branch {branch}")
    return at_end(rows.set_index(["seed", "epoch"])["value"]).sort_index()


def gain(results: Results, over: str, branch: str = "rewound", **labels: str) -> pd.Series:
    """log of the final loss of one branch (`over`) over another's, by seed: above 0 where the other's is lower."""
    return np.log(final(results, "loss", over, **labels)) - np.log(final(results, "loss", branch, **labels))


def accuracy_gain(results: Results, over: str, branch: str = "rewound", **labels: str) -> pd.Series:
    """Final accuracy of a branch minus that of another (`over`), by seed.

    Raises LacksDataError if the better of the two is not two standard errors above chance: nothing is learned.
    """
    ours, theirs = (final(results, "accuracy", one, **labels) for one in (branch, over))
    better = max(ours, theirs, key=lambda one: one.mean())
    if not better.mean() - 2 * better.sem() > CHANCE:
        size = " ".join(labels.values())
        raise LacksDataError(f"{size}: neither {branch} nor {over} is above chance, so that they cannot be compared")
    return ours - theirs


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


def tickets(curves: Results) -> Effects:
    """The ticket against its re-initializations, random nodes and the dense network (`lottery-curves`)."""
    once = gain(curves, "reinitialized", size=TEACHERS_SIZE)
    chosen = gain(curves, "random-nodes", size=TEACHERS_SIZE)
    dense = final(curves, "loss", "dense", size="dense")
    return {
        "beats-reinitialized": mean_effect(once),
        "beats-reinitialized-sign": sign_effect(once),
        "beats-reinitialized-larger": smallest([gain(curves, "reinitialized", size=size) for size in LARGER]),
        "beats-own-scale": mean_effect(gain(curves, "own-scale", size=TEACHERS_SIZE)),
        "beats-random-nodes": mean_effect(chosen),
        "beats-random-nodes-sign": sign_effect(chosen),
        "nothing-lost": mean_effect(np.log(dense) - np.log(final(curves, "loss", "rewound", size=TEACHERS_SIZE))),
    }


def lucky(table: Results) -> Effects:
    """Who survives, and whether luck alone is enough (`lottery-luck`)."""
    survivors = {
        by: luck(table, by=by, size=TEACHERS_SIZE).mean(axis=1, skipna=False) for by in ("magnitude", "spread")
    }
    return {
        "survivors-lucky": mean_effect(survivors["magnitude"]),
        "survivors-lucky-spread": mean_effect(survivors["spread"]),
        "lucky-nodes-win": mean_effect(gain(table, "random-nodes", by="initial-overlap", size=TEACHERS_SIZE)),
    }


def weights(sparsity: Results) -> Effects:
    """The same for pruned weights (`lottery-sparsity`)."""
    return {
        f"weights-beat-{over}": mean_effect(gain(sparsity, over, by="weights", size=TEACHERS_SIZE))
        for over in ("reinitialized", "own-scale", "random-nodes", "shuffled")
    }


def cifar_nodes(table: Results) -> Effects:
    """Nodes on CIFAR-10 with labels, by test accuracy (`lottery-cifar`)."""
    return {
        "cifar-nodes": mean_effect(accuracy_gain(table, "reinitialized", by="nodes", size=TENTH)),
        "cifar-nodes-own-scale": mean_effect(accuracy_gain(table, "own-scale", by="nodes", size=TENTH)),
    }


def cifar_weights(table: Results) -> Effects:
    """The same for single weights."""
    return {"cifar-weights": mean_effect(accuracy_gain(table, "reinitialized", by="weights", size=HALF))}


def cases(results: Results, over: str, branch: str = "rewound") -> dict[str, Effect]:
    """A branch's gain over another, in every variant that has both."""
    found = {}
    for variant, labels in results.labels.items():
        branches = set(results.table.loc[results.table["variant"] == variant, "branch"])
        if {over, branch} <= branches:
            its = {axis.replace("-", "_"): label for axis, label in labels.items()}
            found[variant] = mean_effect(gain(results, over, branch, **its))
    return found


CLAIMS: dict[str, dict[str, list[Callable[[Results], Effects]]]] = {
    "lottery": {
        "lottery-curves": [tickets],
        "lottery-luck": [lucky],
        "lottery-sparsity": [weights],
        "lottery-cifar": [cifar_nodes, cifar_weights],
    }
}
