"""The statistics behind claims: the rule for many cells, diverged seeds, spreads, departures from published levels."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy import stats
from scipy.special import stdtrit

from luckmatters.config import Project
from luckmatters.judging.curves import gap_closed, on_the_way
from luckmatters.judging.published import agreement
from luckmatters.judging.statistics import (
    LacksDataError,
    difference,
    in_every_cell,
    intraclass_z,
    jackknifed,
    log_spread_ratio,
    mean_effect,
    sign_effect,
)
from luckmatters.ledger import CONTRADICTS, SUPPORTS, UNDECIDED, outcome
from luckmatters.settings.claims import Check

POSITIVE = Check(statement="above zero", role="core", threshold=0, reason="a test")


def decided(*tables: pd.DataFrame | pd.Series) -> str:
    return outcome(in_every_cell(*tables), POSITIVE, 3)


# --- every cell ------------------------------------------------------------------------------------------------------


def noise(repetition: int, seeds: int = 5, cells: int = 3) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(repetition).normal(size=(seeds, cells)))


def rates(seeds: int, cells: int, means: np.ndarray, runs: int = 2000) -> tuple[float, float]:
    """How often the rule supports and contradicts: the rule itself on (runs, seeds, cells) normal values at once."""
    values = np.random.default_rng(seeds * cells).normal(size=(runs, seeds, cells)) + means
    mean, error = values.mean(1), values.std(1, ddof=1) / np.sqrt(seeds)
    low = (mean - stdtrit(seeds - 1, 0.975) * error).min(1)
    high = (mean + stdtrit(seeds - 1, 1 - 0.025 / cells) * error).min(1)
    for run in range(3):  # the same numbers as the function gives
        effect = in_every_cell(pd.DataFrame(values[run]))
        assert (effect.low, effect.high) == pytest.approx((low[run], high[run]))
    return (low > 0).mean(), (high <= 0).mean()


@pytest.mark.parametrize("cells", [4, 16])
@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_the_rule_for_every_cell_keeps_its_error_rates(seeds: int, cells: int) -> None:
    """At most 2.5 % false support (a single cell at 0, the others far above), 5 % false contradiction (all at 0)."""
    worst = np.where(np.arange(cells) == 0, 0.0, 50.0)
    chance = 3 * np.sqrt(0.025 * 0.975 / 2000)  # three standard errors of the simulation
    assert rates(seeds, cells, worst)[0] == pytest.approx(0.025, abs=chance)
    assert rates(seeds, cells, np.zeros(cells))[1] <= 0.05


POWER = {(3, 4): 0.05, (5, 4): 0.69, (8, 4): 0.99, (3, 16): 0.0, (5, 16): 0.20, (8, 16): 0.97}


@pytest.mark.parametrize(("seeds", "cells"), POWER)
def test_the_rule_has_the_stated_power_at_effects_of_two_standard_deviations(seeds: int, cells: int) -> None:
    """So a check on 16 cells needs 8 seeds, and with 3 seeds only effects of many standard deviations are decided."""
    support, contradiction = rates(seeds, cells, np.full(cells, 2.0))
    assert support == pytest.approx(POWER[seeds, cells], abs=0.04)
    assert contradiction == 0


def test_the_lower_limit_is_plain_and_the_upper_limit_is_corrected() -> None:
    table = noise(0) + np.array([5.0, 0.0, 9.0])
    effect, worst = in_every_cell(table), table[1]
    low, _ = stats.t.interval(0.95, 4, worst.mean(), stats.sem(worst))
    _, high = stats.t.interval(1 - 0.05 / 3, 4, worst.mean(), stats.sem(worst))
    assert (effect.estimate, effect.low, effect.high) == pytest.approx((worst.mean(), low, high))
    assert effect.seeds == 5
    assert in_every_cell(worst) == mean_effect(worst)


def test_the_smallest_number_of_seeds_in_any_cell_is_reported() -> None:
    table = noise(0) + 9
    alone = pd.Series([1.0, 1.1, 1.2], index=[7, 8, 9])
    effect = in_every_cell(table, alone)
    assert (effect.estimate, effect.seeds) == (pytest.approx(1.1), 3)
    assert effect.low == pytest.approx(mean_effect(alone).low)
    with pytest.raises(LacksDataError):
        in_every_cell()


def test_a_bad_or_undecided_cell_is_not_hidden_by_a_cell_of_lower_mean() -> None:
    steady = np.linspace(-0.01, 0.01, 6)
    hidden = pd.DataFrame({0: 1000 * steady - 0.2, 1: steady - 0.1})  # the lowest mean is open, the other is below zero
    assert decided(hidden) == CONTRADICTS
    unsure = pd.DataFrame({0: steady + 0.1, 1: 1000 * steady + 0.2})  # the lowest mean is above zero, the other is open
    assert decided(unsure) == UNDECIDED
    assert decided(noise(0, 8) + 9) == SUPPORTS


def test_a_cell_with_a_single_seed_decides_nothing() -> None:
    assert np.isnan(in_every_cell(noise(0) + 9, pd.Series([1.0])).low)
    assert in_every_cell(pd.Series([], dtype=float)).seeds == 0
    assert decided(noise(0) - 9, pd.Series([1.0])) == UNDECIDED


# --- diverged seeds --------------------------------------------------------------------------------------------------


def test_a_diverged_seed_is_the_worst_outcome_for_the_side_that_diverged() -> None:
    far = pd.Series([9.0, 9.1, 9.2, 9.3])
    gone = far.where(far.index != 1)
    assert decided(far) == SUPPORTS
    assert decided(gone) == UNDECIDED  # however far the others are above
    assert decided(-gone) == CONTRADICTS  # and the others suffice against
    effect = in_every_cell(gone)
    assert (effect.low, effect.high) == (-np.inf, pytest.approx(mean_effect(gone).high))
    assert (effect.estimate, effect.seeds, effect.diverged) == (pytest.approx(gone.mean()), 4, 1)
    assert decided(gone.fillna(np.inf)) == SUPPORTS  # only the other side diverged
    assert decided((-gone).fillna(np.inf)) == UNDECIDED
    assert decided(far, far * np.nan) == CONTRADICTS


def test_where_all_seeds_diverged_the_side_that_diverged_has_lost() -> None:
    nothing = pd.Series([np.nan] * 4)
    assert decided(nothing) == CONTRADICTS
    assert decided(nothing.fillna(np.inf)) == SUPPORTS
    assert decided(pd.Series([np.nan, np.nan, np.inf, np.inf])) == UNDECIDED


def test_a_difference_pairs_by_seed_and_says_who_diverged() -> None:
    ours = pd.Series([1.0, 2.0, np.nan, np.nan, 5.0], index=[0, 1, 2, 3, 4])
    theirs = pd.Series([50.0, np.nan, 30.0, np.nan, 10.0, 7.0], index=[4, 3, 2, 1, 0, 9])
    expected = pd.Series([-9.0, np.inf, np.nan, np.nan, -45.0], index=range(5))
    pd.testing.assert_series_equal(difference(ours, theirs), expected)
    pd.testing.assert_series_equal(difference(ours.to_frame(), theirs.to_frame())[0], expected, check_names=False)
    with pytest.raises(LacksDataError, match="no seed in common"):
        difference(ours, theirs.set_axis(range(10, 16)))


def test_the_sign_effect_has_the_exact_binomial_interval() -> None:
    values = pd.Series([0.5, 0.1, -0.2, 0.3, 0.0, 0.7])
    effect = sign_effect(values)
    expected = stats.binomtest(4, 5).proportion_ci(0.95)
    assert (effect.estimate, effect.low, effect.high, effect.seeds) == (0.8, expected.low, expected.high, 5)
    assert sign_effect(pd.Series([1.0] * 8)).low > 0.5 > sign_effect(pd.Series([1.0] * 7 + [-1.0])).low
    assert sign_effect(pd.Series([0.0])).seeds == 0


def test_a_diverged_seed_counts_in_the_sign_effect() -> None:
    effect = sign_effect(pd.Series([1.0, 1.0, np.nan, np.inf]))
    assert (effect.estimate, effect.seeds, effect.diverged) == (0.75, 4, 2)


# --- means, curves, spreads ------------------------------------------------------------------------------------------


def test_the_mean_effect_has_students_interval_of_the_finite_values() -> None:
    values = pd.Series([0.1, 0.4, 0.2, np.nan, 0.5, np.inf])
    effect = mean_effect(values)
    expected = stats.ttest_1samp([0.1, 0.4, 0.2, 0.5], 0).confidence_interval(0.95)
    assert (effect.low, effect.high, effect.seeds) == (pytest.approx(expected.low), pytest.approx(expected.high), 4)
    assert effect.estimate == pytest.approx(0.3)
    assert mean_effect(pd.Series([np.nan])).seeds == 0
    assert np.isnan(mean_effect(pd.Series([1.0])).low)


def curve(values: list[float]) -> pd.DataFrame:
    """A layer of two seeds."""
    index = pd.MultiIndex.from_product([[0, 1], range(len(values) // 2)], names=["seed", "epoch"])
    return pd.DataFrame({0: values}, index=index)


def test_gap_closed_is_the_closed_share_of_the_initial_gap_to_one() -> None:
    assert gap_closed(curve([0.2, 0.6, 0.5, 1.0]))[0].tolist() == pytest.approx([0, 0.5, 0, 1])


def test_mean_on_the_way_leaves_out_the_initial_epoch_and_keeps_diverged_seeds_as_nan() -> None:
    found = on_the_way(curve([100.0, 1.0, 3.0, 100.0, 2.0, np.nan]))
    assert found.loc[0, 0] == 2
    assert np.isnan(found.loc[1, 0])


@pytest.mark.parametrize(("kind", "expected"), [("normal", 0.95), ("exponential", 0.89)])
def test_the_interval_of_a_ratio_of_spreads_covers_the_true_ratio(kind: str, expected: float) -> None:
    """For 32 and 8 seeds. The F test's interval covers the ratio of exponential values in only 80 % of cases."""
    draw = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        wide, narrow = (pd.Series(getattr(draw, kind)(size=n)) for n in (32, 8))
        effect = log_spread_ratio(3 * wide, narrow)
        covered += effect.low <= np.log(3) <= effect.high
    assert covered / 300 == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / 300))


def test_spread_ratios_of_too_few_equal_or_diverged_values_are_open() -> None:
    wide, narrow = pd.Series([0.0, 1.0, 5.0, 2.0]), pd.Series([0.0, 0.1, 0.25, 0.05])
    effect = log_spread_ratio(wide, narrow)
    assert effect.low < effect.estimate < effect.high
    assert np.isnan(log_spread_ratio(wide[:2], narrow).low)
    assert np.isnan(log_spread_ratio(wide, narrow * 0).low)
    more = pd.concat([wide, pd.Series([np.nan])], ignore_index=True)
    unstable = log_spread_ratio(more, narrow)
    assert (unstable.low, unstable.high, unstable.diverged) == (effect.low, np.inf, 1)
    assert log_spread_ratio(narrow, more).low == -np.inf


def pairs(share: float, starts: int, draw: np.random.Generator) -> pd.DataFrame:
    """Pairs of normal values of variance 1, of which the members of a pair have a share in common."""
    common, own = draw.normal(size=(starts, 1)), draw.normal(size=(starts, 2))
    return pd.DataFrame(np.sqrt(share) * common + np.sqrt(1 - share) * own)


def test_the_intraclass_correlation_is_that_of_an_analysis_of_variance() -> None:
    table = pairs(0.5, 12, np.random.default_rng(0))
    ratio = stats.f_oneway(*table.to_numpy()).statistic
    assert np.tanh(intraclass_z(table.to_numpy())) == pytest.approx((ratio - 1) / (ratio + 1))
    assert intraclass_z(table.to_numpy() * 3 + 1) == pytest.approx(intraclass_z(table.to_numpy()))


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_interval_of_an_intraclass_correlation_covers_the_true_share(share: float) -> None:
    draw, covered = np.random.default_rng(1), 0
    for _ in range(300):
        effect = in_every_cell(jackknifed(pairs(share, 32, draw), intraclass_z))
        covered += effect.low <= np.arctanh(share) <= effect.high
    assert covered / 300 == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 300))


def test_a_jackknifed_mean_is_the_mean_and_a_diverged_seed_leaves_no_lower_limit() -> None:
    table = pd.DataFrame({"value": [1.0, 4.0, 2.0, 7.0]}, index=[5, 6, 7, 8])
    assert jackknifed(table, np.mean).to_list() == pytest.approx(table["value"].to_list())
    more = pd.concat([table, pd.DataFrame({"value": [np.nan]}, index=[9])])
    effect = in_every_cell(jackknifed(more, np.mean))
    assert (effect.low, effect.seeds, effect.diverged) == (-np.inf, 5, 1)
    assert effect.high == pytest.approx(in_every_cell(table["value"]).high)
    with pytest.raises(LacksDataError, match="fewer than 4"):
        jackknifed(table[:3], np.mean)


# --- published levels ------------------------------------------------------------------------------------------------


def test_agreement_is_students_quantile_less_the_standardized_difference() -> None:
    ours = pd.Series([0.90, 0.91, 0.92, 0.93])
    error = np.sqrt(ours.var() * (1 / 4 + 1 / 32) + 0.01**2)
    near, far = (agreement(ours, level, 32, 0.01) for level in (0.92, 0.80))
    assert near.estimate == pytest.approx(stats.t.ppf(0.975, 3) - 0.005 / error)
    assert near.low == near.estimate == near.high > 0
    assert far.high < 0
    assert agreement(ours, 1.03, 32, 0.01).estimate == pytest.approx(far.estimate)  # 0.115 to either side
    gone = agreement(pd.concat([ours, pd.Series([np.nan])]), 0.92, 32, 0.01)
    assert (gone.low, gone.high, gone.diverged) == (-np.inf, near.high, 1)
    assert np.isnan(agreement(ours[:1], 0.92, 32, 0.01).low)


@pytest.mark.parametrize("m", [1, 10])
def test_published_curves_of_over_param_have_correlation_192_and_32_seeds(m: int) -> None:
    frame = pd.read_csv(ROOT / "data/published" / f"over-param-m{m}-no-bn.csv")
    assert set(frame["quantity"]) == {"correlation_192"}
    assert set(frame["seeds"]) == {32}


def test_no_published_curve_has_a_quantity_that_we_measure_on_other_samples() -> None:
    for file in (ROOT / "data/published").glob("*.csv"):
        frame = pd.read_csv(file)
        assert not {"correlation", "mean_rank"} & set(frame.get("quantity", []))


# --- the file of claims ----------------------------------------------------------------------------------------------


def test_a_claim_needs_a_core_check() -> None:
    claim = Project(ROOT).claims["luck-speed"]
    content = claim.model_dump()
    content["checks"]["passes-sooner"]["role"] = "control"
    with pytest.raises(ValueError, match="none has the role core"):
        type(claim)(**content)
