"""Claims on layers trained from below, on constructed tables with known answers."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from luckmatters.config import Project
from luckmatters.judging.statistics import LacksDataError
from luckmatters.kinds.layer_by_layer.claims import EVIDENCE, FROM_BELOW, crossing, needed, times_the_nodes
from luckmatters.ledger import judge
from luckmatters.tables.results import Results

PROJECT, NAME = Project(ROOT, scale="paper"), "layer-by-layer"
SEEDS, LAST = range(5), 3
POWER = {"local-readout": 0.5, "reconstruction": 0.3, "random": 0.2}
CHECKS = {evidence.check: evidence for evidence in EVIDENCE}


def loss_of(way: str, depth: int, m: int, seed: int) -> float:
    """Power laws: from below, 14 · 2^(depth − 4) times the nodes give the loss of end to end at m = 1."""
    level = 3 + 0.1 * seed  # teachers differ
    if way == "end-to-end":
        return level / m
    return level * (14 * 2.0 ** (depth - 4) / m) ** POWER[way]


def match_of(way: str, depth: int, layer: int, seed: int) -> float:
    learns = {"end-to-end": 0.4, "local-readout": 0.4 if depth == 1 else 0.1, "reconstruction": 0.05, "random": 0.0}
    return 0.5 - 0.02 * layer + learns[way] + 0.001 * seed


def made(loss=loss_of, match=match_of, lost: tuple[str, int, int, int] | None = None) -> Results:
    """Results from functions of (way, depth, m, seed) and of (way, depth, layer, seed).

    lost: way, depth, multiplier and seed of students that diverged.
    """
    found, variants = [], PROJECT.variants(NAME)
    for (variant, (run, _)), seed in itertools.product(variants.items(), SEEDS):
        depth, m = len(run.teacher.widths), run.settings.student.multiplier
        for way in run.settings.ways:
            broken = np.nan if (way, depth, m, seed) == lost else 1
            best = loss(way, depth, m, seed) * broken
            values = [("loss", 0, pd.NA, 9), ("loss", LAST, pd.NA, best * (1.2 if way in FROM_BELOW else 1))]
            values += [("readout_loss", LAST, pd.NA, best)]
            for layer in range(depth):
                ends = match(way, depth, layer, seed) * broken
                values += [("correlation", 0, layer, 0.4), ("correlation", LAST, layer, ends)]
            found += [(variant, way, seed, *value) for value in values]
    columns = ["variant", "branch", "seed", "quantity", "epoch", "layer", "value"]
    table = pd.DataFrame(found, columns=columns).astype({"layer": "Int64"})
    runs, labels = ({name: pair[place] for name, pair in variants.items()} for place in (0, 1))
    return Results(NAME, PROJECT.experiment(NAME), "paper", table, runs, labels, [], {}, {})


def test_results_as_the_article_says_support_every_check() -> None:
    judgement = judge(NAME, PROJECT.claims[NAME], {NAME: made()}, "paper")
    assert judgement.outcomes == dict.fromkeys(CHECKS, "supports")
    assert judgement.verdict == "supported"


def test_effects_are_those_of_the_formulas() -> None:
    results = made()
    assert CHECKS["features"](results).estimate == pytest.approx(0.3)
    assert CHECKS["features-other-depths"](results).estimate == pytest.approx(0.3)
    assert CHECKS["local-learns"](results).estimate == pytest.approx(0.4)
    assert CHECKS["nodes"](results).estimate == pytest.approx(np.log(14))
    slopes = CHECKS["grows-with-depth"](results)
    assert slopes.estimate == pytest.approx(np.log(2))
    gain = min(np.log(10 * (1.4 * 2.0 ** (depth - 4)) ** p) for depth in (2, 3, 4) for p in POWER.values())
    assert CHECKS["best-readout"](results).estimate == pytest.approx(gain)
    assert CHECKS["loss"](results).estimate == pytest.approx(gain + np.log(1.2))


def test_the_single_hidden_layer_with_the_networks_own_readout_is_asked_nothing() -> None:
    def equal_there(way, depth, layer, seed):
        return match_of("end-to-end" if (way, depth) == ("local-readout", 1) else way, depth, layer, seed)

    assert CHECKS["features-other-depths"](made(match=equal_there)).low > 0


@pytest.mark.parametrize("way", FROM_BELOW)
def test_every_check_notices_that_one_way_does_as_well(way: str) -> None:
    """In the match of one layer, or in losses, which are a thousandth higher."""

    def one_layer_equal(other, depth, layer, seed):
        return match_of("end-to-end" if (other, layer) == (way, 1) else other, depth, layer, seed)

    def as_good(other, depth, m, seed):
        return loss_of("end-to-end" if other == way else other, depth, m, seed) * (1.001 if other == way else 1)

    few = made(loss=as_good, match=one_layer_equal)
    for check in ("features", "features-other-depths"):
        assert CHECKS[check](few).estimate == pytest.approx(0, abs=1e-12), check
    assert CHECKS["nodes"](few).high < np.log(1.1)
    assert CHECKS["best-readout"](few).high < 0.01
    assert CHECKS["grows-with-depth"](few).high < 0.01


@pytest.mark.parametrize(
    ("losses", "level", "expected"),
    [
        ({1: 3.0, 10: 1.0, 100: 0.0}, 2.0, (np.log(10) / 2, True)),
        ({1: 3.0, 10: 1.0, 100: 0.0}, 0.25, (np.log(10) * 1.75, True)),
        ({1: 3.0, 10: 1.0, 100: 2.0}, 1.0, (np.log(10), True)),  # rises again: the first crossing counts
        ({1: 3.0, 10: 1.0}, 5.0, (0.0, True)),
        ({1: 3.0, 10: 1.0}, 0.5, (np.log(10), False)),
    ],
)
def test_crossings_by_hand(losses: dict, level: float, expected: tuple[float, bool]) -> None:
    assert crossing(pd.Series(losses), level) == pytest.approx(expected)


def test_a_level_that_no_width_reaches_is_a_lower_bound_without_upper_limit() -> None:
    def hopeless(way, depth, m, seed):
        return loss_of(way, depth, m, seed) * (100 if way == "random" and seed < 2 else 1)

    results = made(loss=hopeless)
    found = needed(results, "random", 4)
    assert found["reached"].tolist() == [False, False, True, True, True]
    assert found["log"].tolist() == pytest.approx([np.log(20)] * 2 + [np.log(14)] * 3)
    effect = times_the_nodes(found, 1)
    assert (effect.estimate, effect.high) == (pytest.approx(np.exp(found["log"].mean())), np.inf)
    judged = CHECKS["nodes"](results)
    assert judged.estimate == pytest.approx(np.log(14))  # of the other ways
    assert judged.high == pytest.approx(np.log(14))
    assert "2 of 15 are lower bounds" in judged.note
    nobody = CHECKS["nodes"](made(loss=lambda way, *rest: loss_of(way, *rest) * (100 if way in FROM_BELOW else 1)))
    assert (nobody.estimate, nobody.low, nobody.high) == (pytest.approx(np.log(20)), pytest.approx(np.log(20)), np.inf)


@pytest.mark.parametrize(("depths", "low", "high"), [((4,), "known", np.inf), ((1, 4), -np.inf, np.inf)])
def test_bounds_leave_slopes_open_where_they_may_be_greater_or_smaller(depths: tuple, low: object, high: float) -> None:
    """In all ways alike, so that no other way closes the interval; with one layer two ways lack the signal."""

    def hopeless(way, depth, m, seed):
        return loss_of(way, depth, m, seed) * (100 if way in FROM_BELOW and depth in depths else 1)

    effect = CHECKS["grows-with-depth"](made(loss=hopeless))
    assert effect.high == high
    assert (effect.low == low) if low == -np.inf else (effect.low > np.log(2))


def test_nodes_of_wider_end_to_end_students_are_counted_as_times_theirs() -> None:
    assert times_the_nodes(needed(made(), "local-readout", 3, 1), 1).estimate == pytest.approx(7)
    # A third of the loss: 9 times as many nodes as for m = 1 at a power of one half, over 3 times the nodes end to end.
    assert times_the_nodes(needed(made(), "local-readout", 1, 3), 3).estimate == pytest.approx(14 / 8 * 9 / 3)


def test_a_diverged_end_to_end_student_leaves_no_lower_limit_and_one_from_below_no_upper() -> None:
    ours, theirs = (made(lost=(way, 4, 10, 2)) for way in ("end-to-end", "random"))
    for check in ("features", "loss", "best-readout"):
        assert CHECKS[check](ours).low == -np.inf, check
        assert CHECKS[check](theirs).low > 0, check
    assert CHECKS["nodes"](made(lost=("end-to-end", 4, 1, 2))).low == -np.inf
    # Where one width from below diverged, the line goes between its neighbours.
    assert needed(theirs, "random", 4)["log"].tolist() == pytest.approx([np.log(14)] * 5)


def test_a_scale_without_a_width_that_a_check_needs_is_refused() -> None:
    results = made()
    without = {name: run for name, run in results.runs.items() if run.settings.student.multiplier != 10}
    with pytest.raises(LacksDataError):
        CHECKS["features"](replace(results, runs=without))
    two = {name: run for name, run in results.runs.items() if len(run.teacher.widths) in (1, 4)}
    with pytest.raises(LacksDataError, match="local-readout was trained at 1 depths"):
        CHECKS["grows-with-depth"](replace(results, runs=two))
