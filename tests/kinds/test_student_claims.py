"""Claims on constructed tables with known answers, and the verdicts that follow from them."""

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy import stats

from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, in_every_cell, independent_difference
from luckmatters.judging.variants import FULLY_CONNECTED
from luckmatters.kinds.student_training.claims.ablations import same_rate
from luckmatters.ledger import (
    CONTRADICTS,
    EVIDENCE,
    SUPPORTS,
    UNDECIDED,
    check_evidence,
    judge,
    judge_all,
    outcome,
    to_csv,
    to_frame,
    to_markdown,
    verdict,
)
from luckmatters.settings.claims import Check
from luckmatters.tables.results import Results

PROJECT = Project(ROOT, scale="paper")
SEEDS, EPOCHS, LAYERS = range(4), range(0, 13, 2), range(4)


def unrelated(correlation):
    """ρ̄ with an unrelated teacher: at half of where it starts, and hardly moved."""
    return lambda its, layer, epoch, seed: 0.5 * correlation(its, layer, 0, seed) + 0.0001 * epoch


def make(
    name: str, correlation, rank=None, loss=None, accuracy=None, skip: tuple[tuple[str, int], ...] = (), **more
) -> Results:
    """Results of an experiment whose values are functions of (labels, layer, epoch, seed).

    skip: variants and seeds that diverge after epoch 2; more: further quantities by layer; published: by variant.
    """
    published = more.pop("published", {})
    layered = {
        "correlation": correlation, "mean_rank": rank or (lambda *_: 0.1), "control": unrelated(correlation),
        "keeps_teacher": lambda its, layer, epoch, seed: 0.4 + 0.01 * seed, "keeps_teacher_chance": lambda *_: 0.1,
        "floor": lambda *_: 0.3, **more,
    }  # fmt: skip
    labels = {variant: its for variant, (_, its) in PROJECT.variants(name).items()}
    rows = []
    for (variant, its), seed, epoch in itertools.product(labels.items(), SEEDS, EPOCHS):
        gone = (variant, seed) in skip and epoch > 2
        values = [("loss", pd.NA, loss(its, epoch, seed) if loss else 1.0)]
        if accuracy:
            values += [(quantity, pd.NA, value) for quantity, value in accuracy(its, epoch, seed).items()]
        for (quantity, value), layer in itertools.product(layered.items(), LAYERS):
            if quantity != "floor" or epoch == 0:
                values.append((quantity, layer, value(its, layer, epoch, seed)))
        rows += [(variant, seed, epoch, layer, q, np.nan if gone else v, *its.values()) for q, layer, v in values]
    columns = ["variant", "seed", "epoch", "layer", "quantity", "value", *next(iter(labels.values()))]
    table = pd.DataFrame(rows, columns=columns).astype({"layer": "Int64"})
    runs = {variant: run for variant, (run, _) in PROJECT.variants(name).items()}
    return Results(name, PROJECT.experiment(name), "paper", table, runs, labels, [], {}, {}, {}, published)


def like(level: float, seeds: int = 32) -> pd.DataFrame:
    """A published curve of layer 1 that is at a level from epoch 4 on."""
    epochs = np.arange(0, 101, 2)
    values = np.where(epochs < 4, np.nan, level)
    columns = {"quantity": "correlation_192", "layer": 1, "epoch": epochs, "value": values, "uncertainty": 0.005}
    return pd.DataFrame(columns).assign(seeds=seeds)


def multipliers(level: float = 0.95, **more) -> Results:
    """over-param, whose second layer at m = 10 ends at 0.95 on 192 samples; published: a level."""

    def second(its, layer, epoch, seed):
        return 0.95 + 0.002 * (seed - 1.5) - 0.1 * (epoch < 12)

    return make("over-param", best_at_ten, correlation_192=second, published={"m10-no-bn": like(level)}, **more)


def rising(start: float, end: float, epoch: int, seed: int) -> float:
    return start + (end - start) * epoch / 12 + 0.001 * seed


def published_like(labels: dict[str, str], layer: int, epoch: int, seed: int) -> float:
    """As the paper says: lower layers, small teachers and (for large ones) BatchNorm are ahead."""
    if labels["teacher"] == "small":
        end = [0.9999, 0.97, 0.9, 0.85][layer] - (0.02 if labels["batch-norm"] == "bn" and layer > 1 else 0)
        return min(rising(0.4, end, min(epoch * 3, 12), 0) + 0.00001 * seed, 1)
    end = [0.8, 0.6, 0.55, 0.5][layer] + (0.05 if labels["batch-norm"] == "bn" else 0)
    return rising(0.4 - 0.03 * layer, end, epoch, seed)


def falling_rank(labels: dict[str, str], layer: int, epoch: int, seed: int) -> float:
    return 0.2 / (1 + epoch) + 0.01 * layer + 0.001 * seed


def networks_as_published(labels: dict[str, str], layer: int, epoch: int, seed: int) -> float:
    """Conv and CIFAR-10: all layers grow, with BatchNorm sooner but in the end less."""
    speed, end = (2, 0.69) if labels["batch-norm"] == "bn" else (1, 0.7)
    return rising(0.4 - 0.03 * layer, end, min(epoch * speed, 12), seed)


def accuracy_as_published(labels: dict[str, str], epoch: int, seed: int) -> dict[str, float]:
    return {"accuracy": 0.1 + 0.45 * epoch / 12 + 0.001 * seed, "teacher_accuracy": 0.55}


def rank_as_published(labels: dict[str, str], layer: int, epoch: int, seed: int) -> float:
    return falling_rank(labels, layer, epoch, seed) * (0.5 if labels["batch-norm"] == "bn" else 1)


def as_published() -> dict[str, Results]:
    return {
        "teacher-size": make("teacher-size", published_like, falling_rank),
        "gaus-conv": make("gaus-conv", networks_as_published, rank_as_published),
        "cifar-conv": make("cifar-conv", networks_as_published, rank_as_published, accuracy=accuracy_as_published),
        "over-param": multipliers(),
        "two-teachers": make("two-teachers", lambda its, layer, epoch, seed: rising(0.4, 0.8, epoch, seed)),
    }


def outcomes(name: str, experiment: str, results: Results) -> dict[str, str]:
    """The outcomes of the checks that one experiment decides."""
    return judge(name, PROJECT.claims[name], {experiment: results}, "paper").outcomes


@pytest.mark.parametrize(
    "name",
    ["recovery", "pandoras-box", "low-first", "luck-keeps", "bn-helps-large", "small-teacher-faster", "cifar-students"],
)
def test_results_as_published_support_the_claim(name: str) -> None:
    judgement = judge(name, PROJECT.claims[name], as_published(), "paper")
    assert judgement.outcomes == dict.fromkeys(judgement.effects, SUPPORTS)
    assert set(judgement.effects) == set(PROJECT.claims[name].checks)
    assert judgement.verdict == "supported"


@pytest.mark.parametrize(
    ("name", "expected"), [("recovery", "supported"), ("luck-keeps", "supported"), ("bn-helps-large", "undecided")]
)
def test_only_a_missing_core_check_leaves_a_claim_undecided(name: str, expected: str) -> None:
    results = as_published()
    del results["gaus-conv"]
    judgement = judge(name, PROJECT.claims[name], results, "paper")
    assert (judgement.verdict, judgement.note.split("; ")[0]) == (expected, "gaus-conv has no results")
    assert not [key for key in judgement.effects if key.startswith("conv")]


def test_students_that_stay_behind_their_teacher_fail_their_check() -> None:
    def behind(labels, epoch, seed):
        slow = labels["network"] == "conv" and labels["batch-norm"] == "bn"
        return {"accuracy": 0.5 if slow else 0.56, "teacher_accuracy": 0.55}

    def same_overlap(labels, layer, epoch, seed):
        return rising(0.4, 0.9 if labels["batch-norm"] == "bn" else 0.6, epoch, seed)

    found = outcomes("cifar-students", "cifar-conv", make("cifar-conv", same_overlap, falling_rank, accuracy=behind))
    assert found == {
        "fc-reaches": SUPPORTS, "conv-reaches": CONTRADICTS, "bn-improves-rank": CONTRADICTS,
        "bn-not-overlap": CONTRADICTS,
    }  # fmt: skip


def trained_like(results: Results, sources: dict[str, str]) -> Results:
    """The same results, as if some variants had been trained as others were: variant → source of its schedule."""
    runs = dict(results.runs)
    for variant, source in sources.items():
        settings = runs[variant].settings.model_copy(update={"training": results.runs[source].settings.training})
        runs[variant] = runs[variant].model_copy(update={"settings": settings})
    return replace(results, runs=runs)


def test_batch_norm_is_judged_only_where_the_learning_rate_is_the_same() -> None:
    def conv_differs(labels, layer, epoch, seed):
        return 0.4 if labels["network"] == "conv" else rank_as_published(labels, layer, epoch, seed)

    results = make("cifar-conv", networks_as_published, conv_differs, accuracy=accuracy_as_published)
    assert same_rate(results) == [FULLY_CONNECTED]  # at the paper scale
    assert outcomes("cifar-students", "cifar-conv", results)["bn-improves-rank"] == SUPPORTS
    everywhere = trained_like(results, dict.fromkeys(results.runs, "fc-bn"))
    assert outcomes("cifar-students", "cifar-conv", everywhere)["bn-improves-rank"] != SUPPORTS
    nowhere = trained_like(results, {"fc-bn": "conv-bn"})
    assert set(outcomes("cifar-students", "cifar-conv", nowhere)) == {"fc-reaches", "conv-reaches"}


@pytest.mark.parametrize("odd", ["fc", "conv"])
def test_every_check_on_both_networks_notices_a_failure_of_either(odd: str) -> None:
    def shrinks(labels, layer, epoch, seed):
        return rising(0.5, 0.4 if labels["network"] == odd else 0.9, epoch, seed)

    def behind_chance(labels, layer, epoch, seed):
        return 0.6 if labels["network"] == odd else 0.1

    results = make("cifar-conv", shrinks, behind_chance)
    assert outcomes("recovery", "cifar-conv", results) == {"cifar-grows": CONTRADICTS}
    assert outcomes("luck-keeps", "cifar-conv", results) == {"cifar-ahead": CONTRADICTS}


@pytest.mark.parametrize("odd", ["fc", "conv"])
def test_stalls_are_told_apart_by_network(odd: str) -> None:
    def stalls(labels, layer, epoch, seed):
        stalled = labels["data"] == "finite" and labels["network"] == odd
        return rising(0.4, 0.8, min(epoch, 4) if stalled else epoch, seed)

    found = outcomes("finite-stalls", "finite-data", make("finite-data", stalls))
    prefix = "conv-" if odd == "conv" else ""
    other = "" if odd == "conv" else "conv-"
    assert (found[f"{prefix}behind"], found[f"{prefix}grows-less"]) == (SUPPORTS, SUPPORTS)
    assert SUPPORTS not in (found[f"{other}behind"], found[f"{other}grows-less"])


def test_an_experiment_without_the_variants_is_not_judged() -> None:
    results = make("gaus-conv", networks_as_published, rank_as_published)
    only_fc = replace(results, table=results.table[results.table["network"] == "fc"])
    assert outcomes("recovery", "gaus-conv", only_fc) == {}


def test_conv_checks_look_at_conv_alone() -> None:
    def only_conv_shrinks(labels, layer, epoch, seed):
        return rising(0.5, 0.4 if labels["network"] == "conv" else 0.9, epoch, seed)

    results = make("gaus-conv", only_conv_shrinks, lambda *_: 0.6)
    assert outcomes("recovery", "gaus-conv", results) == {"conv-grows": CONTRADICTS}
    assert outcomes("luck-keeps", "gaus-conv", results) == {"conv-ahead": CONTRADICTS}


def test_recovery_fails_where_one_layer_of_one_variant_shrinks() -> None:
    def shrinks(labels, layer, epoch, seed):
        value = published_like(labels, layer, epoch, seed)
        return 0.9 - value if labels == {"teacher": "large", "batch-norm": "bn"} and layer == 3 else value

    found = outcomes("recovery", "teacher-size", make("teacher-size", shrinks, falling_rank))
    assert found == {
        "grows": CONTRADICTS, "lowest-layer": SUPPORTS, "above-control": SUPPORTS, "above-floor": SUPPORTS,
    }  # fmt: skip


@pytest.mark.parametrize(("check", "quantity"), [("above-control", "control"), ("above-floor", "floor")])
def test_an_overlap_no_higher_than_control_or_floor_is_noticed(check: str, quantity: str) -> None:
    def high(its, layer, epoch, seed):
        return 0.95 if (its, layer) == ({"teacher": "large", "batch-norm": "bn"}, 2) else 0.1

    found = outcomes("recovery", "teacher-size", make("teacher-size", published_like, **{quantity: high}))
    assert found.pop(check) == CONTRADICTS
    assert set(found.values()) == {SUPPORTS}


@pytest.mark.parametrize(
    ("level", "expected"), [(0.952, SUPPORTS), (0.90, CONTRADICTS), (1.0, CONTRADICTS), (0.948, SUPPORTS)]
)
def test_the_second_layer_is_compared_with_the_published_curve(level: float, expected: str) -> None:
    """At the last epoch that both have: ours is lower by 0.1 before the last."""
    results = multipliers(level)
    assert outcomes("recovery", "over-param", results) == {"second-layer": expected}
    effect, _ = judge("recovery", PROJECT.claims["recovery"], {"over-param": results}, "paper").effects["second-layer"]
    values = pd.Series([0.95 + 0.002 * (seed - 1.5) for seed in SEEDS])
    error = np.sqrt(values.var() * (1 / 4 + 1 / 32) + 0.005**2)
    assert effect.estimate == pytest.approx(stats.t.ppf(0.975, 3) - abs(0.95 - level) / error)
    nothing = replace(results, published={})
    assert "no published curve" in judge("recovery", PROJECT.claims["recovery"], {"over-param": nothing}, "paper").note


def test_students_that_grow_towards_the_other_teacher_fail_pandoras_box() -> None:
    def grown(its, layer, epoch, seed):
        return rising(0.4, 0.8, epoch, seed)

    def other(share: float):
        def control(its, layer, epoch, seed):
            moves = share if (its["teacher"], layer) == ("second", 3) else 0
            return 0.4 + moves * (grown(its, layer, epoch, seed) - grown(its, layer, 0, seed))

        return control

    found = {share: outcomes("pandoras-box", "two-teachers", make("two-teachers", grown, control=other(share)))
             for share in (0.09, 0.11, 1.01)}  # fmt: skip
    assert found[0.09] == {"becomes-its-teacher": SUPPORTS, "not-the-other": SUPPORTS}
    assert found[0.11] == {"becomes-its-teacher": SUPPORTS, "not-the-other": CONTRADICTS}
    assert found[1.01] == {"becomes-its-teacher": CONTRADICTS, "not-the-other": CONTRADICTS}


def test_low_first_fails_if_a_higher_layer_is_better_or_faster() -> None:
    def upside_down(labels, layer, epoch, seed):
        return published_like(labels, 3 - layer, epoch, seed)

    assert set(outcomes("low-first", "teacher-size", make("teacher-size", upside_down)).values()) == {CONTRADICTS}

    def two_and_three_swapped(labels, layer, epoch, seed):
        return published_like(labels, {2: 3, 3: 2}.get(layer, layer), epoch, seed)

    found = outcomes("low-first", "teacher-size", make("teacher-size", two_and_three_swapped))
    assert found == {"lowest-best": SUPPORTS, "lowest-first": SUPPORTS, "ordered": CONTRADICTS}


def test_the_order_of_layers_is_judged_in_long_runs_only() -> None:
    def late(labels, layer, epoch, seed):  # the lowest layer is behind in the first epochs, in the large teacher
        behind = labels["teacher"] == "large" and layer == 0 and epoch <= 4
        return rising(0.4, 0.35, epoch, seed) if behind else published_like(labels, layer, epoch, seed)

    results = make("teacher-size", late)
    short = (results.table["teacher"] == "large") & (results.table["epoch"] > 4)
    judgement = judge("low-first", PROJECT.claims["low-first"], {"teacher-size": cut(results, ~short)}, "paper")
    assert judgement.outcomes["lowest-first"] == SUPPORTS
    assert "large-no-bn, large-bn left out: fewer than 6 epochs" in judgement.note
    everywhere = cut(results, results.table["epoch"] <= 4)
    judgement = judge("low-first", PROJECT.claims["low-first"], {"teacher-size": everywhere}, "paper")
    assert "lowest-first" not in judgement.effects
    assert (judgement.verdict, "no variant ran for 6 epochs" in judgement.note) == ("contradicted", True)


def cut(results: Results, rows: pd.Series) -> Results:
    return replace(results, table=results.table[rows])


@pytest.mark.parametrize("check", ["every-layer-ahead", "far-ahead"])
def test_chance_rank_is_the_mean_rank_of_the_students(check: str) -> None:
    """(n − 1) / 2n: the lowest layer of the small teacher's students has 100 nodes, so that chance is 0.495."""

    def constant(rank: float):
        return make("teacher-size", published_like, lambda its, layer, epoch, seed: rank)

    def effect(rank: float) -> Effect:
        return judge("luck-keeps", PROJECT.claims["luck-keeps"], {"teacher-size": constant(rank)}, "paper").effects[
            check
        ][0]

    chances = [(n - 1) / (2 * n) for n in (100, 150, 200, 250)]
    expected = min(chances) - 0.4 if check == "every-layer-ahead" else np.mean([1 - 0.4 / one for one in chances])
    assert effect(0.4).estimate == pytest.approx(expected)
    assert outcomes("luck-keeps", "teacher-size", constant(0.497))["every-layer-ahead"] == CONTRADICTS


def test_luck_keeps_fails_at_chance_level() -> None:
    def chance(labels, layer, epoch, seed):
        return 0.5 + (0.01 if (seed + layer) % 2 else -0.01)

    def as_by_chance(labels, layer, epoch, seed):
        return 0.1 + 0.3 * ((labels["teacher"], layer) != ("large", 1)) - 0.001 * seed

    found = outcomes(
        "luck-keeps", "teacher-size", make("teacher-size", published_like, chance, keeps_teacher=as_by_chance)
    )
    assert SUPPORTS not in found.values()
    assert found["far-ahead"] == CONTRADICTS


def test_swapping_batch_norm_reverses_the_outcomes() -> None:
    def swapped(labels, layer, epoch, seed):
        other = {"bn": "no-bn", "no-bn": "bn"}[labels["batch-norm"]]
        return published_like({**labels, "batch-norm": other}, layer, epoch, seed)

    found = outcomes("bn-helps-large", "teacher-size", make("teacher-size", swapped))
    assert found == {"large-with-bn": CONTRADICTS, "small-without-bn": CONTRADICTS}


def test_the_gain_without_batch_norm_has_the_limits_of_its_own_difference() -> None:
    results = make("teacher-size", lambda its, layer, epoch, seed: 0.5 + 0.01 * (its["batch-norm"] == "bn") * seed**2)
    found = judge("bn-helps-large", PROJECT.claims["bn-helps-large"], {"teacher-size": results}, "paper").effects
    gains = np.array([0.01 * seed**2 for seed in SEEDS])
    low, high = stats.t.interval(0.95, len(gains) - 1, gains.mean(), stats.sem(gains))
    for check, limits in {"large-with-bn": (low, high), "small-without-bn": (-high, -low)}.items():
        assert (found[check][0].low, found[check][0].high) == pytest.approx(limits)


def test_a_small_teacher_that_is_slightly_faster_is_not_much_faster() -> None:
    def similar(labels, layer, epoch, seed):
        return rising(0.4, 0.8 if labels["teacher"] == "small" else 0.75, epoch, seed)

    assert set(outcomes("small-teacher-faster", "teacher-size", make("teacher-size", similar)).values()) == {
        CONTRADICTS
    }


def best_at_ten(labels, layer, epoch, seed):
    m = int(labels["multiplier"].removeprefix("m"))
    spread = 0.1 / m * (seed - 1.5)
    end = {1: 0.6, 2: 0.65, 5: 0.7, 10: 0.9, 20: 0.85, 50: 0.8}[m]
    return 0.2 + 0.01 * np.log(m) + (end - 0.4) * epoch / 12 + spread * (epoch > 0)


def starts(spread: float) -> Results:
    """One teacher; final ρ̄ and log losses spread over seeds, at m = 1 so many times as widely as at m = 10."""

    def width(its) -> float:
        return spread if its["multiplier"] == "m1" else 1.0

    def level(its, layer, epoch, seed):
        return 0.8 + 0.001 * width(its) * np.sin(7 * seed) * (epoch > 0)

    return make("starts", level, loss=lambda its, epoch, seed: np.exp(0.01 * width(its) * np.sin(7 * seed)))


def falls(labels, epoch, seed):
    return (1 + 0.1 * seed) / int(labels["multiplier"].removeprefix("m"))


def test_growth_with_the_multiplier_supports_over_parameterization_and_flat_curves_do_not() -> None:
    results = {"over-param": multipliers(loss=falls), "starts": starts(20.0)}
    judgement = judge("over-param-helps", PROJECT.claims["over-param-helps"], results, "paper")
    assert judgement.outcomes == dict.fromkeys(PROJECT.claims["over-param-helps"].checks, SUPPORTS)
    assert judgement.verdict == "supported"

    def flat(labels, layer, epoch, seed):
        return 0.5 + 0.01 * epoch + 0.01 * (seed - 1.5)

    found = outcomes("over-param-helps", "over-param", make("over-param", flat, loss=lambda *_: 1.0))
    assert SUPPORTS not in found.values()
    assert set(outcomes("over-param-helps", "starts", starts(1.0)).values()) == {UNDECIDED}
    assert set(outcomes("over-param-helps", "starts", starts(0.02)).values()) == {CONTRADICTS}


def test_seeds_are_paired_within_a_comparison() -> None:
    """m = 50 and 20 have two seeds fewer, and m = 50 only two epochs: the other comparisons keep all seeds."""
    results = multipliers(loss=falls)
    few = results.table["multiplier"].isin(["m20", "m50"]) & (results.table["seed"] > 1)
    short = (results.table["multiplier"] == "m50") & (results.table["epoch"] > 2)
    results = cut(results, ~few & ~short)
    found = judge("over-param-helps", PROJECT.claims["over-param-helps"], {"over-param": results}, "paper").effects
    seeds = {key: effect.seeds for key, (effect, _) in found.items()}
    assert seeds == {"m10-beats-m1": 4, "m50-slower": 2, "more-tickets": 2, "loss-falls": 4}
    assert found["loss-falls"][0].estimate == pytest.approx(1)


def test_losses_are_compared_at_the_last_epoch_of_all_multipliers() -> None:
    def later(labels, epoch, seed):  # at any epoch the same for all, and falling
        return (1 + 0.1 * seed) / (1 + epoch)

    results = make("over-param", best_at_ten, loss=later)
    short = (results.table["multiplier"] == "m20") & (results.table["epoch"] > 4)
    found = judge("over-param-helps", PROJECT.claims["over-param-helps"], {"over-param": cut(results, ~short)}, "paper")
    assert found.effects["loss-falls"][0].estimate == pytest.approx(0, abs=1e-9)


def test_values_are_paired_by_seed_and_not_by_position() -> None:
    """ρ̄ differs far more between seeds than between multipliers; a table in another order changes nothing."""

    def by_seed(labels, layer, epoch, seed):
        return (
            0.1 * seed + 0.01 * (labels["multiplier"] == "m10") + 0.0001 * (seed % 2) * (labels["multiplier"] == "m1")
        )

    results = make("over-param", by_seed)
    assert outcomes("over-param-helps", "over-param", results)["m10-beats-m1"] == SUPPORTS
    missing = (results.table["multiplier"] == "m1") & (results.table["seed"] == 0)
    shuffled = replace(results, table=results.table[~missing].sample(frac=1, random_state=0))
    found = judge("over-param-helps", PROJECT.claims["over-param-helps"], {"over-param": shuffled}, "paper").effects
    effect, result = found["m10-beats-m1"]
    assert (effect.seeds, result) == (3, SUPPORTS)
    assert effect.estimate == pytest.approx(0.01, abs=1e-4)


def test_finite_data_that_keep_growing_do_not_stall() -> None:
    def stalled(labels, layer, epoch, seed):
        return rising(0.4, 0.8, min(epoch, 4) if labels["data"] == "finite" else epoch, seed)

    found = outcomes("finite-stalls", "finite-data", make("finite-data", stalled))
    assert found == dict.fromkeys(PROJECT.claims["finite-stalls"].checks, SUPPORTS)

    def behind_but_growing(labels, layer, epoch, seed):
        return rising(0.4, 0.8, epoch, seed) - (0.1 if labels["data"] == "finite" else 0)

    found = outcomes("finite-stalls", "finite-data", make("finite-data", behind_but_growing))
    assert (found["behind"], found["stalls"]) == (SUPPORTS, CONTRADICTS)
    assert found["grows-less"] != SUPPORTS


@pytest.mark.parametrize(("growth", "expected"), [(0.009, SUPPORTS), (0.011, CONTRADICTS)])
def test_a_stall_is_a_growth_below_a_hundredth_with_and_without_batch_norm(growth: float, expected: str) -> None:
    def late(labels, layer, epoch, seed):
        grows = labels == {"network": "conv", "data": "finite", "batch-norm": "bn"}
        return 0.5 + 0.001 * seed + (growth * (epoch - 6) / 6 if grows and epoch > 6 else 0)

    found = outcomes("finite-stalls", "finite-data", make("finite-data", late))
    assert (found["conv-stalls"], found["stalls"]) == (expected, SUPPORTS)


@pytest.mark.parametrize(("more", "expected"), [(0.019, SUPPORTS), (0.021, CONTRADICTS)])
def test_overlap_may_grow_more_with_batch_norm_by_less_than_the_margin(more: float, expected: str) -> None:
    def slightly(labels, layer, epoch, seed):
        return rising(0.4, 0.6 + (more if labels["batch-norm"] == "bn" else 0), epoch, seed)

    results = make("cifar-conv", slightly, falling_rank, accuracy=accuracy_as_published)
    assert outcomes("cifar-students", "cifar-conv", results)["bn-not-overlap"] == expected


# --- diverged seeds --------------------------------------------------------------------------------------------------


def test_a_diverged_seed_is_counted_and_keeps_its_checks_from_support() -> None:
    results = make("teacher-size", published_like, falling_rank, skip=(("small-no-bn", 1),))
    judgement = judge("recovery", PROJECT.claims["recovery"], {"teacher-size": results}, "paper")
    effect, result = judgement.effects["lowest-layer"]
    assert (effect.seeds, effect.diverged, result) == (4, 1, UNDECIDED)
    assert effect.estimate == pytest.approx(0.9999, abs=1e-4)
    assert "lowest-layer: 1 of 4 seeds diverged" in judgement.note
    assert "| 4, 1 diverged |" in to_markdown(PROJECT, [judgement])


@pytest.mark.parametrize(
    ("variant", "check", "expected"),
    [
        ("large-bn", "large-with-bn", UNDECIDED),  # the side that the claim speaks for
        ("large-no-bn", "large-with-bn", SUPPORTS),  # the side that it is compared with
        ("small-no-bn", "small-without-bn", UNDECIDED),
        ("small-bn", "small-without-bn", SUPPORTS),
    ],
)
def test_a_comparison_is_lost_by_the_side_that_diverged(variant: str, check: str, expected: str) -> None:
    results = make("teacher-size", published_like, falling_rank, skip=((variant, 2),))
    effect, result = judge(
        "bn-helps-large", PROJECT.claims["bn-helps-large"], {"teacher-size": results}, "paper"
    ).effects[check]
    assert (result, effect.diverged) == (expected, 1)
    assert (effect.high == np.inf) == (expected == SUPPORTS)


@pytest.mark.parametrize(("norm", "rank", "growth"), [("bn", UNDECIDED, SUPPORTS), ("no-bn", SUPPORTS, UNDECIDED)])
def test_a_diverged_seed_counts_against_its_side_of_batch_norm_checks_on_cifar(
    norm: str, rank: str, growth: str
) -> None:
    """BatchNorm is to improve the rank, and not to let the overlap grow more."""
    skip = ((f"fc-{norm}", 0),)
    results = make("cifar-conv", networks_as_published, rank_as_published, accuracy=accuracy_as_published, skip=skip)
    found = outcomes("cifar-students", "cifar-conv", results)
    assert (found["bn-improves-rank"], found["bn-not-overlap"]) == (rank, growth)


# --- outcomes and verdicts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "seeds", "expected"),
    [
        (0.1, 0.2, 3, SUPPORTS),
        (-0.1, 0.2, 3, UNDECIDED),
        (-0.2, -0.1, 3, CONTRADICTS),
        (0.1, 0.2, 2, UNDECIDED),
        (0.0, 0.2, 3, UNDECIDED),
    ],
)
def test_a_check_supports_only_if_its_whole_interval_does(low: float, high: float, seeds: int, expected: str) -> None:
    check = Check(statement="above zero", role="core", threshold=0, reason="a test")
    assert outcome(Effect((low + high) / 2, low, high, seeds), check, min_seeds=3) == expected


@pytest.mark.parametrize(
    ("core", "expected"),
    [
        ([SUPPORTS, SUPPORTS], "supported"),
        ([SUPPORTS, UNDECIDED], "undecided"),
        ([SUPPORTS, CONTRADICTS], "mixed"),
        ([SUPPORTS, CONTRADICTS, UNDECIDED], "mixed"),
        ([CONTRADICTS, UNDECIDED], "contradicted"),
        ([CONTRADICTS], "contradicted"),
        ([UNDECIDED, UNDECIDED], "undecided"),
    ],
)
def test_the_verdict_follows_the_outcomes_of_core_checks(core: list[str], expected: str) -> None:
    assert verdict(core) == expected


def test_verdicts_follow_the_core_checks_the_scale_and_the_data() -> None:
    results, claim = as_published(), PROJECT.claims["recovery"]
    assert judge("recovery", claim, results, "paper").verdict == "supported"
    assert judge("recovery", claim, results, "ci").verdict == "not judged at this scale"
    assert judge("recovery", claim, {}, "paper").verdict == "not run"
    assert judge("recovery", claim, {"over-param": results["over-param"]}, "paper").verdict == "not run"

    def half(labels, layer, epoch, seed):
        return published_like(labels, layer, epoch, seed) * 0.9

    mixed = make("teacher-size", half)
    assert judge("recovery", claim, {"teacher-size": mixed}, "paper").verdict == "mixed"
    never = make("teacher-size", lambda *_: 0.5)
    assert judge("recovery", claim, {"teacher-size": never}, "paper").verdict == "contradicted"


def test_a_check_outside_the_core_does_not_change_the_verdict() -> None:
    def two_and_three_swapped(labels, layer, epoch, seed):
        return published_like(labels, {2: 3, 3: 2}.get(layer, layer), epoch, seed)

    results = {"teacher-size": make("teacher-size", two_and_three_swapped)}
    judgement = judge("low-first", PROJECT.claims["low-first"], results, "paper")
    assert (judgement.outcomes["ordered"], judgement.verdict) == (CONTRADICTS, "supported")
    assert list(judgement.effects) == ["lowest-best", "lowest-first", "ordered"]  # core checks first


def test_checks_with_too_few_seeds_or_missing_variants_and_epochs_are_left_out_alone() -> None:
    claim = PROJECT.claims["small-teacher-faster"]
    sizes = make("teacher-size", published_like, falling_rank)
    judgement = judge("small-teacher-faster", claim, {"teacher-size": cut(sizes, sizes.table["seed"] < 2)}, "paper")
    assert (judgement.verdict, judgement.note) == (
        "not judged at this scale",
        "3 seeds are needed to decide a check, no-bn has 2, bn has 2",
    )
    results = multipliers(loss=falls)
    fewer = cut(results, results.table["multiplier"] != "m50")
    left = {variant for variant, its in results.labels.items() if its["multiplier"] != "m50"}
    fewer = replace(fewer, **{key: {v: getattr(results, key)[v] for v in left} for key in ("labels", "runs")})
    judgement = judge("over-param-helps", PROJECT.claims["over-param-helps"], {"over-param": fewer}, "paper")
    assert judgement.outcomes == dict.fromkeys(("m10-beats-m1", "more-tickets", "loss-falls"), SUPPORTS)
    assert (judgement.verdict, "m50-slower is missing" in judgement.note) == ("undecided", True)
    short = cut(sizes, sizes.table["epoch"] <= 8)
    judgement = judge("luck-keeps", PROJECT.claims["luck-keeps"], {"teacher-size": short}, "paper")
    assert (judgement.verdict, "no variant ran for 10 epochs" in judgement.note) == ("undecided", True)
    assert "falls" not in judgement.effects


# --- the ledger ------------------------------------------------------------------------------------------------------


def test_the_ledger_lists_every_claim_even_without_results() -> None:
    judgements = judge_all(PROJECT, {"teacher-size": make("teacher-size", published_like, falling_rank)})
    assert [judgement.name for judgement in judgements] == list(PROJECT.claims)
    text = to_markdown(PROJECT, judgements)
    frame = to_frame(judgements)
    for name in PROJECT.claims:
        assert f"## {name}:" in text
        assert (frame["claim"] == name).any()
    assert frame.set_index("claim").loc["finite-stalls", "verdict"] == "not run"


def test_the_ledger_lists_decisions_and_amendments() -> None:
    judgements = judge_all(PROJECT, as_published())
    text = to_markdown(PROJECT, judgements)
    core = sum(len(claim.core) for claim in PROJECT.claims.values())
    supporting = sum(outcomes.count(SUPPORTS) for outcomes in (judgement.core for judgement in judgements))
    assert f"Core checks: {core}, of which {supporting} support the paper, 0 contradict it" in text
    judged = sum(key in judgement.effects for judgement in judgements for key in judgement.claim.core)
    assert f"{core - judged} have no results" in text
    assert f"about {0.025 * judged:.1f} of them (2.5 % each) would support the paper by chance" in text
    assert "| supports the paper |" in text
    assert "(published: not so; layers 2 and 3 end at 0.599 and 0.638" in text
    assert "- ordered: no part of the verdict any more, since the published curves contradict it too" in text
    columns = "claim,verdict,check,role,outcome,estimate,low,high,seeds,threshold,reason,diverged,note"
    assert to_csv(judgements).decode().splitlines()[0] == columns


def test_checks_without_a_function_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(PROJECT.claims) == set(EVIDENCE)
    assert judge_all(PROJECT, {})
    only = evidence("low-first", "lowest-best", "teacher-size", lambda results: None)
    monkeypatch.setitem(EVIDENCE, "low-first", {"lowest-best": only})
    with pytest.raises(UserError, match=r"low-first.checks: has lowest-best, .*; must be lowest-best$"):
        judge_all(PROJECT, {})


def test_independent_seeds_have_welchs_interval() -> None:
    ours, theirs = pd.Series([1.0, 2.0, 4.0, 3.5, 0.5]), pd.Series([0.1, 0.2, 0.15], index=[7, 8, 9])
    found = independent_difference(ours, theirs)
    expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.estimate, found.seeds) == (pytest.approx(2.2 - 0.15), 3)
    lost = independent_difference(ours.replace(2.0, np.nan), theirs)
    assert (lost.low, lost.diverged) == (-np.inf, 1)
    assert independent_difference(ours, theirs.replace(0.2, np.nan)).high == np.inf


def test_diverged_seeds_never_support_and_hide_no_other_cell() -> None:
    """Seeds of the claim's own students diverge. With fewer than two seeds left the check is lost."""
    check = next(iter(PROJECT.claims["pandoras-box"].checks.values()))
    values = pd.Series([1.0, 1.1, 0.9, 1.2, 1.05, 0.95])
    cells = [values.mask(values.index < lost) for lost in range(7)]
    found = [outcome(in_every_cell(cell), check, 3) for cell in cells]
    assert found == [SUPPORTS, UNDECIDED, UNDECIDED, UNDECIDED, UNDECIDED, CONTRADICTS, CONTRADICTS]
    beside = [outcome(in_every_cell(cell, pd.Series([-1, -1.1, -0.9])), check, 3) for cell in cells]
    assert set(beside) == {CONTRADICTS}


def test_variants_that_a_check_needs_are_required_before_training(tmp_path) -> None:
    """By their settings: a renamed label is no fault, a missing variant and one too many are."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "data").symlink_to(ROOT / "data")
    file, other = (tmp_path / "config" / "experiments" / f"{name}.yaml" for name in ("starts", "sample-orders"))
    text, including = file.read_text(), other.read_text()
    assert "    m1: {}\n" in text
    assert "run: starts/m1," in including

    def rewrite(old: str, new: str, label: str) -> None:
        """Change the grid of starts, and the name by which another experiment includes the variant."""
        file.write_text(text.replace("    m1: {}\n", new).replace("{multiplier: m10}", old))
        other.write_text(including.replace("run: starts/m1,", f"run: starts/{label},"))

    rewrite("{multiplier: ten}", "    one: {}\n", "one")
    check_evidence(Project(tmp_path, scale="laptop"))
    rewrite("{multiplier: m10}", "    m2: {student: {multiplier: 2}}\n", "m2")
    said = (
        r"starts.yaml \(scale laptop\): has no variants \(m = 1, without BatchNorm\), .*over-param-helps.checks.m1-un"
    )
    with pytest.raises(UserError, match=said):
        check_evidence(Project(tmp_path, scale="laptop"))
    rewrite("{multiplier: m10}", "    m1: {}\n    again: {seeds: 5}\n", "m1")
    with pytest.raises(UserError, match=r"has 2 variants .* needs one; change the grid"):
        check_evidence(Project(tmp_path, scale="laptop"))
    check_evidence(Project(tmp_path, scale="ci"))  # which judges nothing
