"""Claims on constructed tables with known answers, and the statistics behind them."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy import stats

from luckmatters.claims.ledger import CLAIMS, FAILS, HOLDS, OPEN, judge, judge_all, outcome, to_frame, to_markdown
from luckmatters.claims.overlap import gap_closed, same_rate
from luckmatters.claims.statistics import Effect, log_spread_ratio, mean_effect
from luckmatters.config import Project
from luckmatters.results import Results

PROJECT = Project(ROOT, scale="paper")
SEEDS, EPOCHS, LAYERS = range(4), range(0, 13, 2), range(4)


def make(
    name: str, correlation, rank=None, loss=None, accuracy=None, skip: tuple[tuple[str, int], ...] = ()
) -> Results:
    """Results of an experiment whose values are functions of (labels, layer, epoch, seed); skip: diverged seeds."""
    labels = {variant: its for variant, (_, its) in PROJECT.variants(name).items()}
    rows = []
    for (variant, its), seed, epoch in itertools.product(labels.items(), SEEDS, EPOCHS):
        gone = (variant, seed) in skip and epoch > 2
        values = [("loss", pd.NA, loss(its, epoch, seed) if loss else 1.0)]
        if accuracy:
            values += [(quantity, pd.NA, value) for quantity, value in accuracy(its, epoch, seed).items()]
        for layer in LAYERS:
            values += [("correlation", layer, correlation(its, layer, epoch, seed))]
            values += [("mean_rank", layer, rank(its, layer, epoch, seed) if rank else 0.1)]
        rows += [(variant, seed, epoch, layer, q, np.nan if gone else v, *its.values()) for q, layer, v in values]
    columns = ["variant", "seed", "epoch", "layer", "quantity", "value", *next(iter(labels.values()))]
    table = pd.DataFrame(rows, columns=columns).astype({"layer": "Int64"})
    runs = {variant: run for variant, (run, _) in PROJECT.variants(name).items()}
    return Results(name, PROJECT.experiment(name), "paper", table, runs, labels, [], {}, {})


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
    }


def outcomes(name: str, experiment: str, results: Results) -> dict[str, str]:
    """The outcomes of the checks that one experiment decides."""
    judgement = judge(name, PROJECT.claims[name], {experiment: results}, "paper")
    return {key: result for key, (_, result) in judgement.effects.items()}


@pytest.mark.parametrize(
    "name", ["recovery", "low-first", "luck-keeps", "bn-helps-large", "small-teacher-faster", "cifar-students"]
)
def test_results_as_published_support_the_claim(name: str) -> None:
    judgement = judge(name, PROJECT.claims[name], as_published(), "paper")
    assert {key: result for key, (_, result) in judgement.effects.items()} == dict.fromkeys(judgement.effects, HOLDS)
    assert judgement.verdict == "supported"


@pytest.mark.parametrize("name", ["recovery", "luck-keeps", "bn-helps-large"])
def test_without_an_experiment_a_claim_is_at_most_partly_supported(name: str) -> None:
    results = as_published()
    del results["gaus-conv"]
    judgement = judge(name, PROJECT.claims[name], results, "paper")
    assert (judgement.verdict, judgement.note) == ("partly", "gaus-conv has no results")
    assert not [key for key in judgement.effects if key.startswith("conv")]


def test_students_that_stay_behind_their_teacher_fail_their_check() -> None:
    def behind(labels, epoch, seed):
        slow = labels["network"] == "conv" and labels["batch-norm"] == "bn"
        return {"accuracy": 0.5 if slow else 0.56, "teacher_accuracy": 0.55}

    def same_overlap(labels, layer, epoch, seed):
        return rising(0.4, 0.9 if labels["batch-norm"] == "bn" else 0.6, epoch, seed)

    found = outcomes("cifar-students", "cifar-conv", make("cifar-conv", same_overlap, falling_rank, accuracy=behind))
    assert found == {
        "fc-reaches": HOLDS, "conv-reaches": FAILS, "bn-improves-rank": FAILS, "bn-not-overlap": FAILS,
    }  # fmt: skip


def test_batch_norm_is_judged_only_where_the_learning_rate_is_the_same() -> None:
    def conv_differs(labels, layer, epoch, seed):
        return 0.4 if labels["network"] == "conv" else rank_as_published(labels, layer, epoch, seed)

    results = make("cifar-conv", networks_as_published, conv_differs, accuracy=accuracy_as_published)
    assert same_rate(results, ("fc", "conv")) == ["fc"]  # at the paper scale
    assert outcomes("cifar-students", "cifar-conv", results)["bn-improves-rank"] == HOLDS
    everywhere = replace(results, runs=dict.fromkeys(results.runs, results.runs["fc-bn"]))
    assert outcomes("cifar-students", "cifar-conv", everywhere)["bn-improves-rank"] != HOLDS
    rates = {"fc-bn": results.runs["conv-bn"], "conv-bn": results.runs["conv-bn"]}
    nowhere = replace(results, runs=results.runs | rates)
    assert set(outcomes("cifar-students", "cifar-conv", nowhere)) == {"fc-reaches", "conv-reaches"}


@pytest.mark.parametrize("odd", ["fc", "conv"])
def test_every_check_on_both_kinds_notices_either(odd: str) -> None:
    def shrinks(labels, layer, epoch, seed):
        return rising(0.5, 0.4 if labels["network"] == odd else 0.9, epoch, seed)

    def behind_chance(labels, layer, epoch, seed):
        return 0.6 if labels["network"] == odd else 0.1

    results = make("cifar-conv", shrinks, behind_chance)
    assert outcomes("recovery", "cifar-conv", results) == {"cifar-grows": FAILS}
    assert outcomes("luck-keeps", "cifar-conv", results) == {"cifar-ahead": FAILS}


@pytest.mark.parametrize("odd", ["fc", "conv"])
def test_stalls_are_told_apart_by_network(odd: str) -> None:
    def stalls(labels, layer, epoch, seed):
        stalled = labels["data"] == "finite" and labels["network"] == odd
        return rising(0.4, 0.8, min(epoch, 4) if stalled else epoch, seed)

    found = outcomes("finite-stalls", "finite-data", make("finite-data", stalls))
    prefix = "conv-" if odd == "conv" else ""
    other = "" if odd == "conv" else "conv-"
    assert (found[f"{prefix}behind"], found[f"{prefix}grows-less"]) == (HOLDS, HOLDS)
    assert HOLDS not in (found[f"{other}behind"], found[f"{other}grows-less"])


def test_an_experiment_without_the_variants_is_not_judged() -> None:
    results = make("gaus-conv", networks_as_published, rank_as_published)
    only_fc = replace(results, table=results.table[results.table["network"] == "fc"])
    assert outcomes("recovery", "gaus-conv", only_fc) == {}


def test_conv_checks_look_at_conv_alone() -> None:
    def only_conv_shrinks(labels, layer, epoch, seed):
        return rising(0.5, 0.4 if labels["network"] == "conv" else 0.9, epoch, seed)

    results = make("gaus-conv", only_conv_shrinks, lambda *_: 0.6)
    assert outcomes("recovery", "gaus-conv", results) == {"conv-grows": FAILS}
    assert outcomes("luck-keeps", "gaus-conv", results) == {"conv-ahead": FAILS}


def test_recovery_fails_where_one_layer_of_one_variant_shrinks() -> None:
    def shrinks(labels, layer, epoch, seed):
        value = published_like(labels, layer, epoch, seed)
        return 0.9 - value if labels == {"teacher": "large", "batch-norm": "bn"} and layer == 3 else value

    found = outcomes("recovery", "teacher-size", make("teacher-size", shrinks, falling_rank))
    assert found == {"grows": FAILS, "lowest-layer": HOLDS, "second-layer": HOLDS}


def test_low_first_notices_a_higher_layer_that_is_better_or_sooner() -> None:
    def upside_down(labels, layer, epoch, seed):
        return published_like(labels, 3 - layer, epoch, seed)

    assert set(outcomes("low-first", "teacher-size", make("teacher-size", upside_down)).values()) == {FAILS}

    def two_and_three_swapped(labels, layer, epoch, seed):
        return published_like(labels, {2: 3, 3: 2}.get(layer, layer), epoch, seed)

    found = outcomes("low-first", "teacher-size", make("teacher-size", two_and_three_swapped))
    assert found == {"lowest-best": HOLDS, "lowest-first": HOLDS, "ordered": FAILS}


def test_luck_keeps_fails_at_chance_level() -> None:
    def chance(labels, layer, epoch, seed):
        return 0.5 + (0.01 if (seed + layer) % 2 else -0.01)

    found = outcomes("luck-keeps", "teacher-size", make("teacher-size", published_like, chance))
    assert HOLDS not in found.values()


def test_batch_norm_claims_turn_with_the_sign() -> None:
    def swapped(labels, layer, epoch, seed):
        other = {"bn": "no-bn", "no-bn": "bn"}[labels["batch-norm"]]
        return published_like({**labels, "batch-norm": other}, layer, epoch, seed)

    found = outcomes("bn-helps-large", "teacher-size", make("teacher-size", swapped))
    assert found == {"large-with-bn": FAILS, "small-without-bn": FAILS}


def test_a_small_teacher_that_is_only_a_little_faster_is_not_much_faster() -> None:
    def similar(labels, layer, epoch, seed):
        return rising(0.4, 0.8 if labels["teacher"] == "small" else 0.75, epoch, seed)

    assert set(outcomes("small-teacher-faster", "teacher-size", make("teacher-size", similar)).values()) == {FAILS}


def best_at_ten(labels, layer, epoch, seed):
    m = int(labels["multiplier"].removeprefix("m"))
    spread = 0.1 / m * (seed - 1.5)
    end = {1: 0.6, 2: 0.65, 5: 0.7, 10: 0.9, 20: 0.85, 50: 0.8}[m]
    return 0.2 + 0.01 * np.log(m) + (end - 0.4) * epoch / 12 + spread * (epoch > 0)


def test_over_parameterization_claims() -> None:
    def falls(labels, epoch, seed):
        return (1 + 0.1 * seed) / int(labels["multiplier"].removeprefix("m"))

    found = outcomes("over-param-helps", "over-param", make("over-param", best_at_ten, loss=falls))
    assert set(found.values()) == {HOLDS}

    def flat(labels, layer, epoch, seed):
        return 0.5 + 0.01 * epoch + 0.01 * (seed - 1.5)

    found = outcomes("over-param-helps", "over-param", make("over-param", flat, loss=lambda *_: 1.0))
    assert HOLDS not in found.values()


def test_finite_data_that_keep_growing_do_not_stall() -> None:
    def stalls(labels, layer, epoch, seed):
        return rising(0.4, 0.8, min(epoch, 4) if labels["data"] == "finite" else epoch, seed)

    assert set(outcomes("finite-stalls", "finite-data", make("finite-data", stalls)).values()) == {HOLDS}

    assert set(outcomes("finite-stalls", "finite-data", make("finite-data", stalls))) == set(
        PROJECT.claims["finite-stalls"].checks
    )

    def behind_but_growing(labels, layer, epoch, seed):
        return rising(0.4, 0.8, epoch, seed) - (0.1 if labels["data"] == "finite" else 0)

    found = outcomes("finite-stalls", "finite-data", make("finite-data", behind_but_growing))
    assert found["behind"] == HOLDS
    assert found["grows-less"] != HOLDS


def test_a_diverged_seed_drops_out_and_is_missed_in_the_count() -> None:
    results = make("teacher-size", published_like, falling_rank, skip=(("small-no-bn", 1),))
    effects = CLAIMS["recovery"]["teacher-size"][0](results)
    assert {key: effect.seeds for key, effect in effects.items()} == {"grows": 3, "lowest-layer": 3, "second-layer": 3}
    assert effects["lowest-layer"].estimate == pytest.approx(0.9999, abs=1e-4)


def test_gap_closed_is_the_share_of_the_way_to_one() -> None:
    index = pd.MultiIndex.from_product([[0, 1], [0, 1]], names=["seed", "epoch"])
    table = pd.DataFrame({0: [0.2, 0.6, 0.5, 1.0]}, index=index)
    assert gap_closed(table)[0].tolist() == pytest.approx([0, 0.5, 0, 1])


def test_mean_effect_is_students_interval() -> None:
    values = pd.Series([0.1, 0.4, 0.2, np.nan, 0.5])
    effect = mean_effect(values)
    expected = stats.ttest_1samp(values.dropna(), 0).confidence_interval(0.95)
    assert (effect.low, effect.high, effect.seeds) == (pytest.approx(expected.low), pytest.approx(expected.high), 4)
    assert effect.estimate == pytest.approx(0.3)


def test_too_few_seeds_have_no_interval() -> None:
    assert mean_effect(pd.Series([np.nan])).seeds == 0
    assert np.isnan(mean_effect(pd.Series([1.0])).low)
    assert np.isnan(log_spread_ratio(pd.Series([1.0, 2.0]), pd.Series([1.0, 3.0])).low)


def test_spread_interval_covers_the_true_ratio_95_times_in_100() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        common, own = generator.normal(size=(2, 8))
        effect = log_spread_ratio(pd.Series(3 * (0.8 * common + 0.6 * own)), pd.Series(common))
        covered += effect.low <= np.log(3) <= effect.high
    assert covered == pytest.approx(950, abs=21)  # three standard errors of a binomial count


@pytest.mark.parametrize(
    ("low", "high", "seeds", "expected"),
    [(0.1, 0.2, 3, HOLDS), (-0.1, 0.2, 3, OPEN), (-0.2, -0.1, 3, FAILS), (0.1, 0.2, 2, OPEN), (0.0, 0.2, 3, OPEN)],
)
def test_a_check_holds_only_if_its_whole_interval_does(low: float, high: float, seeds: int, expected: str) -> None:
    check = next(iter(PROJECT.claims["recovery"].checks.values()))
    assert outcome(Effect((low + high) / 2, low, high, seeds), check, min_seeds=3) == expected


def test_verdicts_follow_the_checks_the_scale_and_the_data() -> None:
    results, claim = as_published(), PROJECT.claims["recovery"]
    assert judge("recovery", claim, results, "paper").verdict == "supported"
    assert judge("recovery", claim, results, "ci").verdict == "not judged at this scale"
    assert judge("recovery", claim, {}, "paper").verdict == "not run"

    def half(labels, layer, epoch, seed):
        return published_like(labels, layer, epoch, seed) * 0.9

    partly = make("teacher-size", half)
    assert judge("recovery", claim, {"teacher-size": partly}, "paper").verdict == "partly"
    never = make("teacher-size", lambda *_: 0.5)
    assert judge("recovery", claim, {"teacher-size": never}, "paper").verdict == "not supported"


def test_too_few_seeds_or_missing_variants_and_epochs_give_no_verdict() -> None:
    claim = PROJECT.claims["recovery"]
    gone = make("teacher-size", published_like, skip=(("small-no-bn", 1), ("small-no-bn", 2)))
    judgement = judge("recovery", claim, {"teacher-size": gone}, "paper")
    assert (judgement.verdict, judgement.note.split("; ")[-1]) == (
        "not judged at this scale",
        "3 seeds are needed to decide a check, grows has 2, lowest-layer has 2, second-layer has 2",
    )  # fmt: skip
    multipliers = make("over-param", best_at_ten)
    fewer = replace(multipliers, table=multipliers.table[multipliers.table["multiplier"] != "m50"])
    judgement = judge("over-param-helps", PROJECT.claims["over-param-helps"], {"over-param": fewer}, "paper")
    assert (judgement.verdict, "m50" in judgement.note) == ("not run", True)
    sizes = make("teacher-size", published_like, falling_rank)
    short = replace(sizes, table=sizes.table[sizes.table["epoch"] <= 8])
    judgement = judge("luck-keeps", PROJECT.claims["luck-keeps"], {"teacher-size": short}, "paper")
    assert (judgement.verdict, "no variant ran for 10 epochs" in judgement.note) == ("partly", True)
    assert "falls" not in judgement.effects


def test_the_ledger_lists_every_claim_even_without_results() -> None:
    judgements = judge_all(PROJECT, {"teacher-size": make("teacher-size", published_like, falling_rank)})
    assert [judgement.name for judgement in judgements] == list(PROJECT.claims)
    text = to_markdown(PROJECT, judgements)
    frame = to_frame(judgements)
    for name in PROJECT.claims:
        assert f"## {name}:" in text
        assert (frame["claim"] == name).any()
    assert frame.set_index("claim").loc["finite-stalls", "verdict"] == "not run"


def test_every_claim_of_the_file_has_a_function_and_the_other_way_round() -> None:
    assert {name: set(claim.experiments) for name, claim in PROJECT.claims.items()} == {
        name: set(functions) for name, functions in CLAIMS.items()
    }
