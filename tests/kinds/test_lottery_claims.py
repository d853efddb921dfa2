"""The lottery claim on constructed tables with known answers; which cases are named."""

import itertools
from dataclasses import replace
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy import stats

from luckmatters.config import Project
from luckmatters.judging.variants import this
from luckmatters.kinds.lottery.claims import cases, chosen, gain, luck, ratio_effect
from luckmatters.kinds.lottery.figures.lottery_curves import comparison
from luckmatters.kinds.lottery.figures.lottery_luck import explained
from luckmatters.kinds.lottery.figures.lottery_sparsity import not_lost, panels
from luckmatters.ledger import CONTRADICTS, SUPPORTS, UNDECIDED, judge
from luckmatters.tables.results import Results

PROJECT = Project(ROOT, scale="paper")
CLAIM = PROJECT.claims["lottery"]
SEEDS, LAYERS = range(8), range(4)
# Final losses that decide every check in the article's favour.
WORSE = {
    "rewound": 1.0, "early": 1.0, "dense": 1.0, "reinitialized": 2.0, "same-signs": 1.8, "own-scale": 1.5,
    "rewound-own-scale": 0.9,    "random-nodes": 1.7, "shuffled": 1.9, "scratch": 1.5, "untrained": 9.0,
}  # fmt: skip


def make(name: str, loss=None, accuracy=None, lucky: float = 0.3) -> Results:
    """Results whose final losses and accuracies are functions of (labels, branch, seed); at first 10 and 0.1."""
    loss = loss or (lambda labels, branch, seed: WORSE[branch] * (1 + 0.01 * seed))
    rows, labels, runs = [], {}, {}
    for variant, (run, its) in PROJECT.variants(name).items():
        labels[variant], runs[variant] = its, run
        for branch, seed in itertools.product(run.settings.branches, SEEDS):
            end = loss(its, branch, seed) * (1 + 0.05 * np.sin(seed + len(branch)))
            rows += [(variant, branch, seed, 0, pd.NA, "loss", 10.0), (variant, branch, seed, 5, pd.NA, "loss", end)]
            right = accuracy(its, branch, seed) if accuracy else 0.6 - 0.1 * WORSE[branch] + 0.001 * seed
            rows += [(variant, branch, seed, epoch, pd.NA, "accuracy", v) for epoch, v in ((0, 0.1), (5, right))]
            for layer in LAYERS:
                rows.append((variant, branch, seed, 0, layer, "lucky_chance", 0.1))
                rows.append(
                    (
                        variant,
                        branch,
                        seed,
                        0,
                        layer,
                        "lucky",
                        0.1 + (lucky + 0.01 * seed if branch == "rewound" else 0),
                    )
                )
    table = pd.DataFrame(rows, columns=["variant", "branch", "seed", "epoch", "layer", "quantity", "value"])
    for axis in next(iter(labels.values())):
        table[axis] = table["variant"].map({variant: its[axis] for variant, its in labels.items()})
    table = table.astype({"layer": "Int64"})
    return Results(name, PROJECT.experiment(name), "paper", table, runs, labels, [], {}, {})


@cache
def usual(name: str) -> Results:
    """An experiment as the article has it, for tests that look at it."""
    return make(name)


def everything(**changes: Results) -> dict[str, Results]:
    return {name: changes.get(name.replace("-", "_")) or usual(name) for name in CLAIM.experiments}


def outcomes(results: dict[str, Results]) -> dict[str, str]:
    return judge("lottery", CLAIM, results, "paper").outcomes


def test_results_as_in_the_article_support_the_claim() -> None:
    judgement = judge("lottery", CLAIM, everything(), "paper")
    assert judgement.outcomes == dict.fromkeys(CLAIM.checks, SUPPORTS)
    assert judgement.verdict == "supported"


def changed(branch: str, factor: float, **where: str):
    """As the article has it, but for one branch where all labels match."""

    def loss(labels, one, seed):
        hit = one == branch and all(labels[axis] == label for axis, label in where.items())
        return WORSE[one] * (factor if hit else 1)

    return loss


@pytest.mark.parametrize(
    ("experiment", "branch", "factor", "where", "failing"),
    [
        ("lottery-curves", "reinitialized", 0.2, {"size": "x1"}, {"beats-reinitialized", "beats-reinitialized-sign"}),
        ("lottery-curves", "random-nodes", 0.2, {"size": "x1"}, {"beats-reinitialized", "beats-reinitialized-sign"}),
        ("lottery-curves", "reinitialized", 0.2, {"size": "x3"}, {"beats-reinitialized-larger"}),
        ("lottery-curves", "own-scale", 0.5, {"size": "x1"}, {"beats-own-scale"}),
        ("lottery-curves", "dense", 0.7, {"size": "dense"}, {"nothing-lost"}),
        ("lottery-luck", "rewound", 2.0, {"by": "initial-overlap", "size": "x1"}, {"lucky-nodes-win"}),
        ("lottery-sparsity", "reinitialized", 0.4, {"by": "weights", "size": "x1"}, {"weights-beat-reinitialized"}),
        ("lottery-sparsity", "own-scale", 0.5, {"by": "weights", "size": "x1"}, {"weights-beat-own-scale"}),
        ("lottery-sparsity", "random-nodes", 0.4, {"by": "weights", "size": "x1"}, {"weights-beat-random-nodes"}),
        ("lottery-sparsity", "shuffled", 0.4, {"by": "weights", "size": "x1"}, {"weights-beat-shuffled"}),
    ],
)
def test_each_check_notices_only_its_own_case(experiment, branch, factor, where, failing) -> None:
    found = outcomes({**everything(), experiment: make(experiment, changed(branch, factor, **where))})
    assert {key for key, result in found.items() if result == CONTRADICTS} == failing
    assert all(result == SUPPORTS for key, result in found.items() if key not in failing)


@pytest.mark.parametrize(
    ("by", "size", "branch", "failing"),
    [
        ("nodes", "x0-2", "reinitialized", "cifar-nodes"),
        ("nodes", "x0-2", "own-scale", "cifar-nodes-own-scale"),
        ("weights", "x1", "reinitialized", "cifar-weights"),
    ],
)
def test_cifar_is_judged_by_accuracy_where_something_is_learned(by: str, size: str, branch: str, failing: str) -> None:
    def accuracy(labels, one, seed):
        lost = labels == {"by": by, "size": size} and one == branch
        return 0.6 - 0.1 * WORSE[one] * (0.1 if lost else 1) + 0.001 * seed

    found = outcomes({**everything(), "lottery-cifar": make("lottery-cifar", accuracy=accuracy)})
    assert {key for key, result in found.items() if result == CONTRADICTS} == {failing}


@pytest.mark.parametrize(("lift", "judged"), [(0.006, False), (0.02, True)])
def test_branches_that_stay_at_chance_are_not_compared(lift: float, judged: bool) -> None:
    def accuracy(labels, branch, seed):
        level = lift if branch == "rewound" else 0.0
        return 0.1 + level + 0.01 * (-1) ** seed if labels["by"] == "weights" else 0.6 - 0.1 * WORSE[branch]

    results = everything(lottery_cifar=make("lottery-cifar", accuracy=accuracy))  # standard error: 0.0038
    judgement = judge("lottery", CLAIM, results, "paper")
    assert ("cifar-weights" in judgement.effects) == judged
    assert ("neither rewound nor reinitialized is above chance" in judgement.note) == (not judged)
    assert {"cifar-nodes", "cifar-nodes-own-scale"} <= set(judgement.effects)


def test_survivors_no_luckier_than_chance_do_not_support() -> None:
    unlucky = make("lottery-luck", lucky=-0.05)
    found = outcomes({**everything(), "lottery-luck": unlucky})
    assert {found["survivors-lucky"], found["survivors-lucky-contribution"]} <= {CONTRADICTS, UNDECIDED}
    assert luck(results := make("lottery-luck", lucky=0.3), this(results, "magnitude-x1")).loc[
        2
    ].tolist() == pytest.approx([0.32] * 4)


def test_without_a_core_check_the_claim_is_not_run() -> None:
    results = everything()
    del results["lottery-cifar"]
    judgement = judge("lottery", CLAIM, results, "paper")
    assert (judgement.verdict, judgement.note) == ("supported", "lottery-cifar has no results")
    del results["lottery-curves"]
    assert judge("lottery", CLAIM, results, "paper").verdict == "not run"


def test_controls_that_are_equal_in_distribution_are_averaged() -> None:
    results = make("lottery-curves")
    both = [gain(results, this(results, "x1"), over) for over in ("reinitialized", "random-nodes")]
    expected = (both[0] + both[1]) / 2
    pd.testing.assert_series_equal(chosen(results, this(results, "x1")), expected, check_names=False)
    alone = replace(results, table=results.table[results.table["branch"] != "random-nodes"])
    pd.testing.assert_series_equal(chosen(alone, this(alone, "x1")), both[0], check_names=False)


def test_gains_are_paired_by_seed_and_taken_at_the_end() -> None:
    results = make("lottery-curves")
    rows = results.table.query("variant == 'x1' and quantity == 'loss' and epoch == 5").pivot(
        index="seed", columns="branch", values="value"
    )
    expected = np.log(rows["own-scale"] / rows["rewound"])
    pd.testing.assert_series_equal(gain(results, this(results, "x1"), "own-scale"), expected, check_names=False)


@pytest.mark.parametrize(
    ("branch", "own_scale", "dense"), [("own-scale", SUPPORTS, SUPPORTS), ("rewound", UNDECIDED, UNDECIDED)]
)
def test_a_diverged_seed_counts_against_the_branch_that_diverged(branch: str, own_scale: str, dense: str) -> None:
    results = make("lottery-curves")
    gone = (results.table["seed"] == 3) & (results.table["branch"] == branch) & (results.table["epoch"] == 5)
    results = replace(results, table=results.table.assign(value=results.table["value"].mask(gone)))
    judgement = judge("lottery", CLAIM, everything(lottery_curves=results), "paper")
    effect, outcome = judgement.effects["beats-own-scale"]
    assert (effect.seeds, effect.diverged, outcome) == (8, 1, own_scale)
    assert judgement.outcomes["nothing-lost"] == dense
    sign = judgement.effects["beats-reinitialized-sign"][0].estimate
    assert sign == (7 / 8 if branch == "rewound" else 1)


def test_a_ratio_of_means_has_the_interval_that_its_test_gives() -> None:
    stream = np.random.default_rng(3)
    whole = pd.Series(1 + 0.2 * stream.standard_normal(8))
    part = 0.4 * whole + 0.1 * stream.standard_normal(8)
    found = ratio_effect(part, whole)
    assert found.estimate == pytest.approx(part.mean() / whole.mean())
    for end in (found.low, found.high):  # there the mean of part - ratio * whole is just significant
        assert stats.ttest_1samp(part - end * whole, 0).pvalue == pytest.approx(0.05)
    assert found.low < found.estimate < found.high
    assert np.isnan(ratio_effect(part, whole - whole.mean() + 0.01).high)
    assert ratio_effect(part.mask(part.index == 2), whole).seeds == 7


def test_the_share_of_the_tickets_gain_is_given_only_if_both_branches_gain() -> None:
    assert "of it (" in explained(make("lottery-luck"), ["x1"])[0]

    def loss(labels, branch, seed):
        noisy = labels["by"] == "initial-overlap" and branch == "rewound"
        return WORSE[branch] * (1.7 * np.exp(0.5 * np.sin(3 * seed)) if noisy else 1 + 0.01 * seed)

    assert "of it" not in explained(make("lottery-luck", loss), ["x1"])[0]


def test_a_variant_is_chosen_by_name_among_copies_of_its_runs() -> None:
    """Kept results have copies of the runs, with the seeds that are kept."""
    results = make("lottery-curves")
    copied = replace(results, runs={name: run.model_copy(update={"seeds": [0]}) for name, run in results.runs.items()})
    for variant in results.runs:
        for which in (this(results, variant), this(copied, variant)):
            assert [name for name, run in copied.runs.items() if which(run)] == [variant]


def test_cases_in_which_a_branch_does_not_lose_are_named() -> None:
    results = make("lottery-sparsity", changed("reinitialized", 0.5, by="iterative", size="x2"))
    effects = cases(results, "reinitialized")
    assert {name for name, effect in effects.items() if not effect.low > 0} == {"iterative-x2"}
    assert not_lost(results, "reinitialized").endswith("the interval reaches 0 in iterative-x2.")
    assert not_lost(results, "random-nodes").endswith("the interval reaches 0 in none.")
    worse = make("lottery-sparsity", changed("reinitialized", 0.3, by="iterative", size="x2"))
    assert not_lost(worse, "reinitialized").endswith("reaches 0 in none; it lies below 0 in iterative-x2.")
    assert "x1 0.4" in comparison(make("lottery-curves"), "own-scale")
    assert "x1 0.5" in comparison(make("lottery-curves"), "own-scale", "rewound-own-scale")


@pytest.mark.parametrize(("count", "wide"), [(1, 1), (5, 5), (6, 3), (9, 5)])
def test_surplus_columns_continue_below_and_share_axes(count: int, wide: int) -> None:
    figure, columns = panels(2, count)
    assert len(figure.axes) == 2 * count == 2 * len(columns)
    places = [[axes.get_subplotspec() for axes in column] for column in columns]
    for number, column in enumerate(places):
        bank, place = divmod(number, wide)
        assert [(spec.rowspan.start, spec.colspan.start) for spec in column] == [
            (2 * bank, place),
            (2 * bank + 1, place),
        ]
    for row, top in enumerate((7.0, 3.0)):
        columns[0][row].set_ylim(0, top)
    assert all([axes.get_ylim() for axes in column] == [(0, 7), (0, 3)] for column in columns)
    for number, column in enumerate(columns):
        assert [axes.yaxis.get_tick_params()["labelleft"] for axes in column] == [number % wide == 0] * 2
        assert [axes.xaxis.get_tick_params()["labelbottom"] for axes in column] == [False, True]
    plt.close(figure)
