"""Places on the axis of forest plots."""

import math

import pytest
from conftest import ROOT

from luckmatters.config import Project
from luckmatters.judging.statistics import Effect
from luckmatters.ledger import SUPPORTS, Judgement
from luckmatters.report.forest import LINEAR, MARGIN, REACH, TICKS, place, strip, strip_of


def test_the_threshold_is_in_the_middle_and_sides_are_mirrored() -> None:
    assert place(0.0) == 50
    for distance in (1e-6, 0.01, 0.3, 7.0):
        assert place(distance) - 50 == pytest.approx(50 - place(-distance))


def test_places_grow_with_the_distance_up_to_the_reach() -> None:
    distances = [0.0, 1e-4, LINEAR, 0.1, 1.0, REACH]
    places = [place(distance) for distance in distances]
    assert places == sorted(set(places))
    assert places[-1] == pytest.approx(100 - MARGIN)


def test_near_the_threshold_the_axis_is_linear_and_far_from_it_logarithmic() -> None:
    near = place(2e-6) - 50, place(1e-6) - 50
    assert near[0] / near[1] == pytest.approx(2, rel=1e-3)
    far = place(8.0) - place(4.0), place(4.0) - place(2.0)
    assert far[0] / far[1] == pytest.approx(1, rel=1e-2)


@pytest.mark.parametrize(("distance", "edge"), [(11.0, 100), (math.inf, 100), (-11.0, 0), (-math.inf, 0)])
def test_what_is_beyond_the_reach_stands_at_the_edge(distance: float, edge: float) -> None:
    assert place(distance) == edge


def test_the_unit_is_the_size_of_the_threshold() -> None:
    assert strip(Effect(-0.75, -1.0, -0.5, 8), -0.5).middle == place(-0.5)
    assert strip(Effect(-0.75, -1.0, -0.5, 8), -0.5).low == place(-1.0)
    assert strip(Effect(0.25, 0.0, 0.5, 8), 0.0).middle == place(0.25)


def test_unknown_effects_have_no_place_and_unknown_limits_no_bar() -> None:
    assert strip(Effect(math.nan, math.nan, math.nan, 0), 0.0) is None
    only = strip(Effect(0.1, math.nan, math.nan, 1), 0.0)
    assert (only.middle, only.low, only.high) == (place(0.1), None, None)


def test_a_check_without_limits_has_no_bar() -> None:
    """An agreement with published numbers is a number; a growth has an interval."""
    effect = Effect(0.5, 0.4, 0.6, 8), SUPPORTS
    claim = Project(ROOT, scale="laptop").claims["recovery"]
    judgement = Judgement("recovery", claim, "supported", {"grows": effect, "second-layer": effect})
    assert strip_of(judgement, "grows").low == place(0.4)
    assert strip_of(judgement, "second-layer").low is None


def test_ticks_stand_where_their_numbers_do() -> None:
    assert TICKS["0"] == 50
    assert TICKS["−0.1"] == place(-0.1)
