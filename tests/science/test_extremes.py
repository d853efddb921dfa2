"""The best of several draws, against every subset and against random directions."""

from itertools import combinations

import numpy as np
import pytest

from luckmatters.science.extremes import best_below, best_direction, expected_best, relu_correlation

POOL = np.random.default_rng(0).normal(size=(2, 3, 9))


@pytest.mark.parametrize("draws", [1, 2, 4, 9])
def test_expected_best_is_the_mean_over_all_subsets(draws: int) -> None:
    expected = [np.mean([max(subset) for subset in combinations(pool, draws)]) for pool in POOL.reshape(-1, 9)]
    np.testing.assert_allclose(expected_best(POOL, draws).ravel(), expected, rtol=1e-12)


@pytest.mark.parametrize("draws", [1, 3, 9])
def test_best_below_is_the_share_of_all_subsets(draws: int) -> None:
    values = np.array([[POOL[0, 0, 4], 0.1, 9.0], [-9.0, 0.5, POOL[1, 2].max()]])
    shares = [
        np.mean([max(subset) <= value for subset in combinations(pool, draws)])
        for pool, value in zip(POOL.reshape(-1, 9), values.ravel(), strict=True)
    ]
    np.testing.assert_allclose(best_below(POOL, draws, values).ravel(), shares, atol=1e-12)


def test_the_best_of_draws_of_the_same_kind_is_below_in_half_of_cases() -> None:
    stream = np.random.default_rng(1)
    own, pools = stream.normal(size=(4000, 5)).max(1), stream.normal(size=(4000, 12))
    assert best_below(pools, 5, own).mean() == pytest.approx(0.5, abs=4 * 0.3 / 4000**0.5)


@pytest.mark.parametrize("draws", [0, 10])
def test_more_draws_than_the_pool_has_are_refused(draws: int) -> None:
    with pytest.raises(ValueError, match=f"{draws} draws need a pool .* got 9"):
        expected_best(POOL, draws)


def correlation_by_integral(cosine: float) -> float:
    """ρ of two ReLU nodes as an integral over the angle φ of x in the plane of both weights; E|x|² is 2 there."""
    angle, points = np.arccos(cosine), np.linspace(0, 2 * np.pi, 20_001)[:-1]
    one, other = np.cos(points).clip(0), np.cos(points - angle).clip(0)
    radius = (np.pi / 2) ** 0.5  # E|x|
    mean = radius * one.mean()
    return (2 * (one * other).mean() - mean**2) / (2 * (one**2).mean() - mean**2)


@pytest.mark.parametrize("cosine", [-1.0, -0.7, 0.0, 0.3, 0.95, 1.0])
def test_correlation_of_relu_nodes_is_that_of_an_integral(cosine: float) -> None:
    assert relu_correlation(np.array(cosine)) == pytest.approx(correlation_by_integral(cosine), abs=1e-7)


@pytest.mark.parametrize(("draws", "inputs"), [(10, 20), (200, 20), (5, 3)])
def test_best_direction_is_that_of_drawn_directions(draws: int, inputs: int) -> None:
    vectors = np.random.default_rng(2).standard_normal((4000, draws, inputs))
    best = relu_correlation((vectors[..., 0] / np.linalg.norm(vectors, axis=2)).max(1))
    assert best_direction(draws, inputs) == pytest.approx(best.mean(), abs=4 * best.std() / len(best) ** 0.5)
