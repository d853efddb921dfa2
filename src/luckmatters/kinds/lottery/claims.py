"""Claims on lottery tickets: a branch against another branch, paired by seed (same teacher, mask, samples, steps)."""

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from luckmatters.judging.curves import at_end
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import (
    CONFIDENCE,
    Effect,
    LacksDataError,
    difference,
    in_every_cell,
    mean_effect,
    sign_effect,
)
from luckmatters.judging.variants import Variants, one, this
from luckmatters.tables.results import Results

CHANCE = 0.1  # accuracy by chance, with ten classes of equal size
# New initial weights in the kept nodes, and the initial weights of random nodes: two draws from the same distribution.
CONTROLS = ("reinitialized", "random-nodes")


WEIGHTS = Variants("single weights", lambda run: run.settings.pruning.granularity == "weights")
NODES = Variants("nodes", lambda run: run.settings.pruning.granularity == "nodes")
AT_ONCE = Variants("in one round", lambda run: run.settings.pruning.rounds == 1)
DENSE = one(
    Variants("nothing pruned", lambda run: run.settings.pruning.kept == run.trained.settings.student.multiplier)
)


def kept(size: float) -> Variants:
    """The variants that are pruned to `size` times the teacher's hidden widths."""
    return Variants(f"kept {size:g}", lambda run: run.settings.pruning.kept == size)


def by(criterion: str) -> Variants:
    """The variants that are pruned by a criterion."""
    return Variants(f"by {criterion}", lambda run: run.settings.pruning.criterion == criterion)


def final(results: Results, quantity: str, branch: str, which: Variants) -> pd.Series:
    """A quantity of the whole network after the last epoch of a branch, by seed.

    Raises LacksDataError if no variant, or more than one, has the branch.
    """
    rows = results.select(quantity, which)
    rows = rows[rows["branch"] == branch]
    if rows.empty or rows["variant"].nunique() > 1:
        raise LacksDataError(f"{results.name} has no one variant ({which.text}) with the branch {branch}")
    return at_end(rows.set_index(["seed", "epoch"])["value"]).sort_index()


def gain(results: Results, which: Variants, over: str, branch: str = "rewound") -> pd.Series:
    """log of the ratio of final losses, by seed: loss of the branch `over` divided by that of `branch`.

    Above 0 where `branch` has the lower loss. NaN where `branch` diverged, +inf where `over` alone diverged.
    """
    ours, theirs = (-np.log(final(results, "loss", name, which)) for name in (branch, over))
    return difference(ours, theirs)


def chosen(results: Results, which: Variants) -> pd.Series:
    """The gain of kept nodes over the controls, averaged over the controls that were run; by seed.

    Raises LacksDataError if no control was run.
    """
    rows = results.select("loss", which)
    controls = [control for control in CONTROLS if (rows["branch"] == control).any()]
    if not controls:
        raise LacksDataError(f"{results.name} has neither {' nor '.join(CONTROLS)} ({which.text})")
    return pd.concat([gain(results, which, control) for control in controls], axis=1).mean(axis=1, skipna=False)


def accuracy_gain(results: Results, which: Variants, over: str, branch: str = "rewound") -> pd.Series:
    """Final accuracy of a branch minus that of the branch `over`, by seed.

    Raises LacksDataError if the better branch is not two standard errors above chance: nothing is learned.
    """
    ours, theirs = (final(results, "accuracy", name, which) for name in (branch, over))
    better = max(ours, theirs, key=lambda accuracies: accuracies.mean())
    if not better.mean() - 2 * better.sem() > CHANCE:
        raise LacksDataError(
            f"{which.text}: neither {branch} nor {over} is above chance, so that they cannot be compared"
        )
    return difference(ours, theirs)


def ratio_effect(part: pd.Series, whole: pd.Series) -> Effect:
    """Ratio of two means over the same seeds, with Fieller's interval.

    A ratio is in the interval if the mean of part − ratio · whole has a t interval that reaches 0. The limits are NaN
    where the interval of `whole` reaches 0.
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


def luck(results: Results, which: Variants) -> pd.DataFrame:
    """Share of survivors that initial overlap would keep too, minus the share by chance: by seed, a column a layer.

    Raises LacksDataError if no variant, or more than one, has these shares.
    """
    shares = []
    for quantity in ("lucky", "lucky_chance"):
        rows = results.select(quantity, which)
        rows = rows[rows["branch"] == "rewound"]
        if rows.empty or rows["variant"].nunique() > 1:
            raise LacksDataError(f"{results.name} has no one variant ({which.text}) that says who was lucky")
        shares.append(rows.pivot(index="seed", columns="layer", values="value"))
    return shares[0] - shares[1]


def ticket(results: Results, which: Variants) -> Effect:
    """The gain of the ticket over the controls."""
    return in_every_cell(chosen(results, which))


def ticket_sign(results: Results, which: Variants) -> Effect:
    """The share of seeds in which the ticket wins against the controls."""
    return sign_effect(chosen(results, which))


def larger_tickets(results: Results, twice: Variants, thrice: Variants) -> Effect:
    """The gain of the ticket over the controls, at two larger sizes."""
    return in_every_cell(chosen(results, twice), chosen(results, thrice))


def beats(results: Results, which: Variants, over: str) -> Effect:
    """The gain of the ticket over another branch."""
    return in_every_cell(gain(results, which, over))


def nothing_lost(results: Results, which: Variants, dense: Variants) -> Effect:
    """The gain of the ticket over the dense network."""
    ours = -np.log(final(results, "loss", "rewound", which))
    return in_every_cell(difference(ours, -np.log(final(results, "loss", "dense", dense))))


def survivors(results: Results, which: Variants) -> Effect:
    """Share of survivors that were lucky before training, minus the share by chance, averaged over layers."""
    return in_every_cell(luck(results, which).mean(axis=1, skipna=False))


def more_accurate(results: Results, which: Variants, over: str) -> Effect:
    """Test accuracy of the ticket minus that of another branch."""
    return in_every_cell(accuracy_gain(results, which, over))


def cases(results: Results, over: str, branch: str = "rewound") -> dict[str, Effect]:
    """A branch's gain over the branch `over`, in every variant that has both."""
    branches = results.table.groupby("variant")["branch"].agg(set)
    variants = (variant for variant in results.runs if {over, branch} <= branches[variant])
    return {variant: mean_effect(gain(results, this(results, variant), over, branch)) for variant in variants}


# Students have ten times the teacher's nodes: a tenth of the dense width is the teacher's width.
TENTH = one(kept(1))
# On CIFAR-10 students have twice the teacher's nodes. Of single weights half is kept: a tenth would leave 1 % of the
# hidden weights, and nothing would be learned.
CIFAR_TENTH, CIFAR_HALF = one(NODES & kept(0.2)), one(WEIGHTS & kept(1))
SINGLE = one(WEIGHTS & by("magnitude") & AT_ONCE & kept(1))

EVIDENCE = [
    evidence("lottery", "beats-reinitialized", "lottery-curves", ticket, which=TENTH),
    evidence("lottery", "beats-reinitialized-sign", "lottery-curves", ticket_sign, which=TENTH),
    evidence(
        "lottery", "beats-reinitialized-larger", "lottery-curves", larger_tickets,
        twice=one(kept(2)), thrice=one(kept(3)),
    ),
    evidence("lottery", "beats-own-scale", "lottery-curves", beats, which=TENTH, over="own-scale"),
    evidence("lottery", "nothing-lost", "lottery-curves", nothing_lost, which=TENTH, dense=DENSE),
    evidence("lottery", "survivors-lucky", "lottery-luck", survivors, which=one(by("magnitude") & kept(1))),
    evidence(
        "lottery", "survivors-lucky-contribution", "lottery-luck", survivors,
        which=one(by("contribution") & kept(1)),
    ),
    evidence("lottery", "lucky-nodes-win", "lottery-luck", ticket, which=one(by("initial-overlap") & kept(1))),
    evidence("lottery", "weights-beat-reinitialized", "lottery-sparsity", beats, which=SINGLE, over="reinitialized"),
    evidence("lottery", "weights-beat-own-scale", "lottery-sparsity", beats, which=SINGLE, over="own-scale"),
    evidence("lottery", "weights-beat-random-nodes", "lottery-sparsity", beats, which=SINGLE, over="random-nodes"),
    evidence("lottery", "weights-beat-shuffled", "lottery-sparsity", beats, which=SINGLE, over="shuffled"),
    evidence("lottery", "cifar-nodes", "lottery-cifar", more_accurate, which=CIFAR_TENTH, over="reinitialized"),
    evidence("lottery", "cifar-nodes-own-scale", "lottery-cifar", more_accurate, which=CIFAR_TENTH, over="own-scale"),
    evidence("lottery", "cifar-weights", "lottery-cifar", more_accurate, which=CIFAR_HALF, over="reinitialized"),
]  # fmt: skip
