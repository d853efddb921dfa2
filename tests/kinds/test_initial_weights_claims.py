"""Claims on starts and on the authors' notes, on constructed tables with known answers."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy import stats

from luckmatters.config import Project
from luckmatters.kinds.student_training.claims.initial_weights import luck_and_loss, luck_explains
from luckmatters.kinds.student_training.claims.notes import FOUR_TIMES, USUAL, greatest_rise
from luckmatters.learning.shapes import start
from luckmatters.ledger import CONTRADICTS, SUPPORTS, UNDECIDED, judge
from luckmatters.settings.experiment import Run
from luckmatters.tables.results import Results

PROJECT = Project(ROOT, scale="paper")
LAYERS = range(2)
Value = Callable[[Run, int, int], float]  # of a run, a seed and an epoch


def make(name: str, epochs: int, correlation: Value, loss: Value, training_loss: Value = lambda *_: 1.0) -> Results:
    """Results of an experiment with all seeds of every variant; ρ̄ of layer 1 is below that of layer 0."""
    rows, variants = [], PROJECT.variants(name)
    for variant, (run, labels) in variants.items():
        for seed, epoch in itertools.product(run.seeds, range(epochs + 1)):
            values = [("correlation", layer, correlation(run, seed, epoch) - 0.01 * layer) for layer in LAYERS]
            values += [("loss", pd.NA, loss(run, seed, epoch))]
            values += [("training_loss", pd.NA, training_loss(run, seed, epoch) if epoch else np.nan)]
            rows += [(variant, seed, epoch, layer, q, value, *labels.values()) for q, layer, value in values]
    columns = ["variant", "seed", "epoch", "layer", "quantity", "value", *labels]
    table = pd.DataFrame(rows, columns=columns).astype({"layer": "Int64"})
    runs = {variant: run for variant, (run, _) in variants.items()}
    labels = {variant: its for variant, (_, its) in variants.items()}
    return Results(name, PROJECT.experiment(name), "paper", table, runs, labels, [], {}, {}, {}, {})


def outcomes(claim: str, results: Results) -> dict[str, str]:
    return judge(claim, PROJECT.claims[claim], {results.name: results}, "paper").outcomes


# --- starts ----------------------------------------------------------------------------------------------------------


def noise(*key: int) -> float:
    """A standard normal number that belongs to a key."""
    return np.random.default_rng(list(key)).normal()


def of_starts(of_start: float, of_order: float, luck: float = 1.0, fall: float = 1.0) -> Results:
    """Log losses with a part of the start and a part of the order of samples.

    luck: how initial ρ̄ depends on the start's part, sign turned; fall: power of 1 / m in the width of both parts.
    """

    def level(run: Run, seed: int, epoch: int) -> float:
        return 0.5 - 0.01 * luck * noise(start(run, seed), 7) + 0.1 * epoch + 0.001 * noise(seed, 8)

    def loss(run: Run, seed: int, epoch: int) -> float:
        width = 0.1 / run.settings.student.multiplier**fall
        return np.exp(width * (of_start * noise(start(run, seed), 7) + of_order * noise(seed, 9)) - epoch)

    return make("sample-orders", 2, level, loss)


def test_losses_that_belong_to_starts_support_every_check() -> None:
    assert set(outcomes("starts", of_starts(1.0, 0.2)).values()) == {SUPPORTS}


def test_losses_that_belong_to_sample_orders_support_none() -> None:
    found = outcomes("starts", of_starts(0.0, 1.0, fall=-1.0))
    assert found["more-than-orders"] == found["wider"] == found["luck-explains"] == UNDECIDED
    assert found["mostly-the-start"] == found["falls"] == CONTRADICTS


def test_a_start_that_matters_need_not_matter_most() -> None:
    found = outcomes("starts", of_starts(1.0, 1.2))
    assert (found["more-than-orders"], found["mostly-the-start"]) == (SUPPORTS, UNDECIDED)


def test_luck_that_leads_to_greater_losses_contradicts() -> None:
    found = outcomes("starts", of_starts(1.0, 0.2, luck=-1.0))
    assert found["luck-explains"] == found["luck-explains-wider"] == CONTRADICTS


@pytest.mark.parametrize("odd", [2, 5, 10])
def test_a_multiplier_where_starts_do_not_matter_keeps_wider_ones_from_support(odd: int) -> None:
    good, bad = of_starts(1.0, 0.2), of_starts(0.0, 1.0)
    mixed = [
        (bad if run.settings.student.multiplier == odd else good).table.query("variant == @variant")
        for variant, run in good.runs.items()
    ]
    good.table.update(pd.concat(mixed).sort_index())
    found = outcomes("starts", good)
    assert (found["wider"], found["more-than-orders"]) == (UNDECIDED, SUPPORTS)


def test_a_diverged_order_keeps_the_checks_of_its_multiplier_from_support() -> None:
    results = of_starts(1.0, 0.2)
    gone = (results.table["variant"] == "m1-second") & (results.table["seed"] == 40) & (results.table["epoch"] == 2)
    results.table.loc[gone, "value"] = np.nan
    found = outcomes("starts", results)
    assert SUPPORTS not in (found["more-than-orders"], found["luck-explains"])
    assert found["wider"] == SUPPORTS


def test_luck_and_loss_are_those_of_both_students_of_a_start() -> None:
    results = of_starts(1.0, 0.2)
    table = luck_and_loss(results, 2)
    rows = results.table[results.table["variant"].isin(["m2-first", "m2-second"]) & (results.table["seed"] % 32 == 5)]
    last, first = (rows[rows["epoch"] == epoch] for epoch in (2, 0))
    assert table.loc[5, "loss"] == pytest.approx(np.log(last[last["quantity"] == "loss"]["value"]).mean())
    assert table.loc[5, "luck"] == pytest.approx(first[first["quantity"] == "correlation"]["value"].mean())
    alone, effect = luck_and_loss(results, 1), luck_explains(results, [1])
    assert effect.estimate == pytest.approx(-stats.spearmanr(alone["luck"], alone["loss"]).statistic, abs=0.02)


# --- the authors' notes ----------------------------------------------------------------------------------------------


def notes(lost: dict[str, float], jumps: dict[str, float] | None = None) -> Results:
    """ρ̄ that grows from 0.3 to 0.9 but for what variants lose, and log losses that fall by 1 but for their jump."""

    def label(run: Run) -> str:
        return run.variant

    def level(run: Run, seed: int, epoch: int) -> float:
        return 0.3 + (0.6 - lost.get(label(run), 0.0)) * epoch / 4 + 0.001 * noise(seed, epoch, len(label(run)))

    def jump(run: Run, seed: int, epoch: int) -> float:
        return (jumps or {}).get(label(run), 0.0) * (epoch == 3) * (1 + 0.01 * seed)

    def loss(run: Run, seed: int, epoch: int) -> float:
        return np.exp(-epoch + 0.001 * noise(seed, epoch))

    def training_loss(run: Run, seed: int, epoch: int) -> float:
        return np.exp(1 - epoch + jump(run, seed, epoch))

    return make("settings", 4, level, loss, training_loss)


CLAIMS = {
    "data-scale-matters": ("std-1-x1", {"lower", "every-layer"}),
    "more-outputs-help": ("outputs-10-x1", {"greater", "every-layer"}),
    "normalized-worse": ("normalized-x1", {"worse", "a-little"}),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_variant_that_loses_a_little_supports_its_note_alone(claim: str) -> None:
    variant, checks = CLAIMS[claim]
    found = {name: outcomes(name, notes({variant: 0.03})) for name in CLAIMS}
    assert {check: found[claim][check] for check in checks} == dict.fromkeys(checks, SUPPORTS)
    others = [found[name][check] for name, (_, its) in CLAIMS.items() if name != claim for check in its - {"a-little"}]
    assert SUPPORTS not in others


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_variant_that_gains_contradicts_its_note(claim: str) -> None:
    variant, checks = CLAIMS[claim]
    found = outcomes(claim, notes({variant: -0.03}))
    assert {found[check] for check in checks - {"a-little"}} == {CONTRADICTS}


def test_normalized_weights_that_lose_a_fifth_of_the_growth_lose_more_than_a_little() -> None:
    found = outcomes("normalized-worse", notes({"normalized-x1": 0.12}))
    assert (found["worse"], found["a-little"]) == (SUPPORTS, CONTRADICTS)


def test_the_control_of_the_datas_scale_is_that_at_a_hundred_times_the_rate() -> None:
    found = outcomes("data-scale-matters", notes({"std-1-x1": 0.3, "std-1-x100": -0.1}))
    assert (found["lower"], found["not-by-rate"]) == (SUPPORTS, CONTRADICTS)


def test_a_spike_within_an_epoch_is_a_rise() -> None:
    results = notes({}, {"usual-x8": 2.0})
    assert outcomes("high-rate-unstable", results)["rises"] == SUPPORTS
    assert outcomes("high-rate-unstable", results)["rises-at-0-2"] != SUPPORTS
    assert outcomes("high-rate-unstable", notes({}, {"usual-x1": 2.0}))["rises"] == CONTRADICTS
    high = greatest_rise(results, FOUR_TIMES)
    assert high[0] == pytest.approx(2.0, abs=0.01)  # in epoch 3, above the loss after epoch 2
    assert (greatest_rise(results, USUAL) < 0.01).all()


def test_divergence_at_the_high_rate_supports_instability_and_at_the_usual_rate_does_not() -> None:
    jumps = {"usual-x4": 1.0, "usual-x8": 1.0}
    for variant, expected in (("usual-x8", SUPPORTS), ("usual-x1", UNDECIDED)):
        results = notes({}, jumps)
        gone = (results.table["variant"] == variant) & (results.table["seed"] == 3) & (results.table["epoch"] > 1)
        results.table.loc[gone, "value"] = np.nan
        assert outcomes("high-rate-unstable", results)["rises"] == expected
