"""Claims on structured and random data, and on generalization, from constructed tables with known answers."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from luckmatters.config import Project
from luckmatters.kinds.carriers import claims as carriers
from luckmatters.kinds.student_training.claims import generalization as claims
from luckmatters.ledger import judge
from luckmatters.settings.experiment import Run
from luckmatters.tables.results import Results

PROJECT = Project(ROOT, scale="paper")
SEEDS, EPOCHS, LAYERS = range(6), range(5), range(4)


def made(name: str, rows: Callable[[Run, int], list[tuple]]) -> Results:
    """Results of an experiment; rows: (epoch, layer, quantity, value) of a run and a seed."""
    variants = PROJECT.variants(name)
    table = pd.DataFrame(
        [
            (variant, seed, *row)
            for (variant, (run, _)), seed in itertools.product(variants.items(), SEEDS)
            for row in rows(run, seed)
        ],
        columns=["variant", "seed", "epoch", "layer", "quantity", "value"],
    ).astype({"layer": "Int64"})
    runs = {variant: run for variant, (run, _) in variants.items()}
    labels = {variant: its for variant, (_, its) in variants.items()}
    return Results(name, PROJECT.experiment(name), "paper", table, runs, labels, [], {}, {})


# --- the same training error ------------------------------------------------------------------------------------------


def errors(training: list[float], test: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {"training_error": training, "test_error": test}, index=pd.Index(range(len(test)), name="epoch")
    )


@pytest.mark.parametrize("level", [0.8, 0.3, 0.21, 0.1])
def test_test_errors_are_interpolated_exactly_where_they_are_a_power_of_the_training_error(level: float) -> None:
    training = np.array([1.0, 0.5, 0.25, 0.1])
    assert claims.at_error(errors(training, 3 * training**0.7), level) == pytest.approx(np.log(3 * level**0.7))


def test_the_first_time_at_the_level_counts() -> None:
    curve = errors([1.0, 0.1, 0.5, 0.1], [1.0, 0.4, 9.0, 8.0])
    assert claims.at_error(curve, 0.1) == pytest.approx(np.log(0.4))
    assert claims.at_error(curve, 2.0) == 0.0  # there from the start


def falling(run: Run, seed: int, *, end: float, exponent: float, factor: float = 1.0) -> list[tuple]:
    """Training errors that fall to `end`, and test errors that are a power of them."""
    training = np.geomspace(1, end * (1 + 0.01 * seed), len(EPOCHS))
    values = {"training_error": training, "test_error": factor * training**exponent * (1 + 0.001 * seed)}
    return [(e, pd.NA, quantity, value[e]) for quantity, value in values.items() for e in EPOCHS]


def of_multipliers(narrow: float, wide: float, ends: tuple[float, float] = (0.2, 0.01)) -> Callable:
    """Test errors are training errors to a power, `narrow` at m = 1 and `wide` at other multipliers."""

    def rows(run: Run, seed: int) -> list[tuple]:
        single = run.settings.student.multiplier == 1
        return falling(run, seed, end=ends[not single], exponent=narrow if single else wide)

    return rows


def test_multipliers_are_compared_at_the_lowest_training_error_of_both() -> None:
    results = made("generalization", of_multipliers(0.5, 0.8))
    expected = np.mean([-0.3 * np.log(0.2 * (1 + 0.01 * seed)) for seed in SEEDS])  # m = 1 stops at 0.2
    assert claims.right_size_worse(results).estimate == pytest.approx(expected)
    last = np.mean([0.5 * np.log(0.2 * (1 + 0.01 * s)) - 0.8 * np.log(0.01 * (1 + 0.01 * s)) for s in SEEDS])
    assert claims.equal_steps(results).estimate == pytest.approx(last)
    assert claims.widest_no_worse(results).estimate == pytest.approx(0)


def test_verdicts_follow_from_who_generalizes() -> None:
    claim = PROJECT.claims["generalization"]

    def outcomes(narrow: float, wide: float) -> dict:
        names = ("generalization", "label-noise", "generalization-cifar")
        results = {name: made(name, of_multipliers(narrow, wide)) for name in names[:1]}
        judged = judge("generalization", claim, results, "paper")
        return judged.outcomes | {"verdict": judged.verdict}

    better, worse = outcomes(0.5, 0.8), outcomes(0.8, 0.5)
    assert (better["right-size-worse"], worse["right-size-worse"]) == ("supports", "contradicts")
    assert (better["verdict"], worse["verdict"]) == ("supported", "mixed")  # neither overfits


@pytest.mark.parametrize(("rise", "overfits"), [(1.0, False), (1.05, False), (1.3, True)])
def test_a_test_error_that_rises_again_is_overfitting_in_wide_students_alone(rise: float, overfits: bool) -> None:
    def rows(run: Run, seed: int) -> list[tuple]:
        table = falling(run, seed, end=0.01, exponent=0.5)
        factor = rise if run.settings.student.multiplier == 50 else 2.0 if run.settings.student.multiplier == 1 else 1.0
        lowest = table[-2][3]
        return [*table[:-1], (*table[-1][:3], factor * lowest)] if factor > 1 else table

    effect = claims.no_overfit(made("generalization", rows))
    assert effect.estimate == pytest.approx(-np.log(rise))
    assert (effect.high < -0.0953) == overfits


@pytest.mark.parametrize(("multiplier", "side"), [(1, "high"), (10, "low")])
def test_a_student_that_diverged_is_the_worst_outcome(multiplier: int, side: str) -> None:
    def rows(run: Run, seed: int) -> list[tuple]:
        table = of_multipliers(0.5, 0.8)(run, seed)
        gone = run.settings.student.multiplier == multiplier and seed == 2
        return [(*row[:3], np.nan) if gone and row[0] > 2 else row for row in table]

    results = made("generalization", rows)
    for measure in (claims.right_size_worse, claims.equal_steps):
        effect = measure(results)
        assert np.isinf(effect.low) == (side == "low")
        assert effect.diverged == 1
    assert np.isneginf(claims.no_overfit(results).low) == (multiplier == 10)


def test_noise_is_judged_without_the_students_that_had_none() -> None:
    def rows(run: Run, seed: int) -> list[tuple]:
        clean = run.settings.data.finite.noise is None
        ranks = [(0, layer, "mean_rank", 0.2 if run.settings.data.finite.noise == 1 else 0.9) for layer in LAYERS]
        return of_multipliers(*((0.8, 0.5) if clean else (0.5, 0.8)))(run, seed) + ranks

    outcomes = judge(
        "generalization", PROJECT.claims["generalization"], {"label-noise": made("label-noise", rows)}, "paper"
    ).outcomes
    assert outcomes == dict.fromkeys(("noise-lucky", "noise-right-size-worse", "noise-no-overfit"), "supports")


# --- the nodes that carry ---------------------------------------------------------------------------------------------


def as_claimed(run: Run, seed: int) -> list[tuple]:
    """Permuted targets take three times the nodes of small teachers; numbers grow as the root of a teacher's size."""
    noise, trained = 1 + 0.001 * seed, run.trained.settings
    permuted, images = bool(trained.data.finite.shuffled), trained.data.kind == "cifar10"
    size = sum(run.teacher.widths)
    number = 30.0 if permuted else 10.0 if images else 10 * (size / 70) ** 0.5
    whole = {"fitted_epoch": 3, "training_error": 0.19, "test_error": 1.2 if permuted else 0.1 * (size / 70) ** 0.25}
    whole |= {"accuracy": 0.1 if permuted else 0.4} if images else {}
    layered = {"nodes": number * noise, "essential": round(number), "students_per_teacher": 700 / size * noise}
    rows = [(np.nan, pd.NA, quantity, value) for quantity, value in whole.items()]
    return rows + [(np.nan, layer, quantity, value) for quantity, value in layered.items() for layer in LAYERS]


def judged(rows: Callable) -> dict:
    claim = PROJECT.claims["structured-vs-random"]
    result = judge("structured-vs-random", claim, {"structured-vs-random": made("structured-vs-random", rows)}, "paper")
    return result.outcomes | {"verdict": result.verdict}


def test_tables_as_claimed_support_every_check() -> None:
    found = judged(as_claimed)
    assert found.pop("verdict") == "supported"
    assert found == dict.fromkeys(PROJECT.claims["structured-vs-random"].checks, "supports")


def test_effects_are_logs_of_ratios_and_slopes() -> None:
    results = made("structured-vs-random", as_claimed)
    assert carriers.fewer(results, carriers.SMALL, carriers.RANDOM).estimate == pytest.approx(np.log(3))
    assert carriers.grows_with_teacher(results, "nodes").estimate == pytest.approx(0.5)
    assert carriers.grows_with_teacher(results, "test_error").estimate == pytest.approx(0.25)
    assert carriers.fewer_essential(results, carriers.SMALL, carriers.RANDOM).estimate == pytest.approx(20)
    largest = sum(PROJECT.teachers["gaus-fc-huge"].widths)
    assert carriers.several_on_each(results, carriers.SMALL).estimate == pytest.approx(np.log(largest / 70))


def test_one_layer_with_as_many_nodes_is_enough_to_contradict() -> None:
    def rows(run: Run, seed: int) -> list[tuple]:
        few = run.variant == "permuted"
        return [(*r[:3], 9.0) if few and r[2] == "nodes" and r[1] == 2 else r for r in as_claimed(run, seed)]

    found = judged(rows)
    assert (found["few-nodes"], found["cifar-few-nodes"], found["verdict"]) == ("contradicts", "supports", "mixed")


def test_a_student_that_does_not_fit_is_no_support() -> None:
    def rows(run: Run, seed: int) -> list[tuple]:
        lost = run.variant == "permuted" and seed == 0
        return [(*row[:3], np.nan) if lost else row for row in as_claimed(run, seed)]

    results = made("structured-vs-random", rows)
    assert carriers.fits(results).estimate == pytest.approx(5 / 6)
    assert np.isneginf(carriers.fewer(results, carriers.SMALL, carriers.RANDOM).low)
    found = judged(rows)
    assert "supports" not in (found["fits"], found["few-nodes"])


@pytest.mark.parametrize("side", [0, 1])
def test_a_student_that_does_not_fit_is_the_worst_outcome_on_either_side(side: int) -> None:
    tables = [pd.DataFrame({0: np.full(6, value)}, index=range(6)) for value in (1.0, 2.0)]
    assert carriers.minus(*tables)[0].tolist() == [-1.0] * 6
    tables[side].loc[3] = np.nan
    assert carriers.minus(*tables)[0].isna().tolist() == [False, False, False, True, False, False]


def test_that_students_fit_has_exact_limits() -> None:
    results = made("structured-vs-random", as_claimed)
    assert carriers.fits(results).low == pytest.approx(0.025 ** (1 / len(SEEDS)))  # all of six
    missing = results.table["quantity"].eq("fitted_epoch") & results.table["seed"].eq(2)
    results.table.loc[missing & results.table["variant"].eq(next(iter(results.runs))), "value"] = np.nan
    assert carriers.fits(results).estimate == pytest.approx(5 / 6)
