"""Teachers' exact properties, and the independence of data streams."""

import numpy as np
import pytest
import torch

from luckmatters.science.data import BLOCK, Gaus
from luckmatters.science.layers import NORM_EPS
from luckmatters.science.networks import initialize_students
from luckmatters.science.random import generator
from luckmatters.science.teachers import GRID, draw_teachers, separated_rows, unrelated_teachers


def test_separated_rows_lie_on_the_grid_and_all_differ() -> None:
    rows = separated_rows(24, 2, generator=generator("test"))  # every row that there is
    assert len({tuple(row) for row in rows.tolist()}) == 24
    assert np.isin(rows, GRID).all()
    assert rows.any(1).all()


def test_asking_for_more_rows_than_the_grid_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"25 nodes with 2 inputs"):
        separated_rows(25, 2, generator=generator("test"))


@pytest.mark.parametrize("init", ["separated", "no_sep"])
@pytest.mark.parametrize(("inputs", "kernel"), [((20,), None), ((1, 8, 8), 3)])
def test_weights_of_every_node_are_normalized(init: str, inputs: tuple[int, ...], kernel: int | None) -> None:
    teachers = draw_teachers(inputs, [10, 15, 100], init=init, seeds=range(4), kernel=kernel)
    assert teachers.weights[2].shape == (4, 100, 15 * 4 * 4 if kernel else 15)
    for weight in (weight.flatten(2) for weight in teachers.weights):
        # A row of norm r is divided by r + 1e-5; the smallest nonzero grid row has norm 0.25.
        torch.testing.assert_close(
            weight.norm(dim=2), torch.ones(weight.shape[:2]), rtol=0, atol=NORM_EPS / 0.25 + 1e-6
        )


def test_separated_teachers_come_from_the_grid_and_biases_share_the_row_norm() -> None:
    teacher = draw_teachers((20,), [10, 5], init="separated", seeds=[0])
    weight, bias = teacher.weights[0][0], teacher.biases[0][0]
    steps = weight / weight.abs().where(weight != 0, torch.inf).amin(1, keepdim=True)
    assert set(steps.round(decimals=3).abs().flatten().tolist()) <= {0.0, 1.0, 2.0}
    # Before the division biases were within ±0.5 and the norm of a grid row of 20 weights is at most 0.5 · sqrt(20).
    norm = 0.25 / weight.abs().where(weight != 0, torch.inf).amin(1, keepdim=True)
    candidates = torch.cat([bias * norm, bias * norm * 2], 1)  # the smallest nonzero weight is 0.25 or 0.5
    assert (candidates.abs().amin(1) <= 0.5).all()


@pytest.mark.parametrize("init", ["separated", "no_sep"])
def test_a_bias_is_added_to_hidden_nodes_after_normalization_and_changes_nothing_else(init: str) -> None:
    plain, raised = (draw_teachers((6,), [5, 4, 3], init=init, seeds=range(3), bias=bias) for bias in (None, 1.5))
    for ours, theirs in zip(raised.weights, plain.weights, strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(raised.biases[:-1], plain.biases[:-1], strict=True):
        assert torch.equal(ours, theirs + 1.5)
    assert torch.equal(raised.biases[-1], plain.biases[-1])


def test_nodes_fire_and_overlap_more_with_a_greater_bias() -> None:
    """Inputs, and so sums, have standard deviation 1: shares Φ(-1), Φ(0), Φ(1), but for the biases as drawn."""
    x = torch.randn(1, 20, 20_000, generator=torch.Generator().manual_seed(0))
    firing, together = [], []
    for bias in (-1.0, None, 1.0):
        teachers = draw_teachers((20,), [25, 9], init="separated", seeds=range(4), bias=bias)
        active = (teachers.activations(x.expand(4, -1, -1))[0] > 0).float()
        firing.append(active.mean().item())
        both = active @ active.mT / x.shape[2]
        together.append(((both.sum() - both.diagonal(dim1=1, dim2=2).sum()) / (4 * 25 * 24)).item())
    assert firing == pytest.approx([0.16, 0.5, 0.84], abs=0.03)
    assert together == sorted(together)


def test_a_teacher_belongs_to_its_seed() -> None:
    many, one = (draw_teachers((6,), [5, 4], init="separated", seeds=seeds) for seeds in (range(5), [3]))
    assert all(torch.equal(a[3:4], b) for a, b in zip(many.weights, one.weights, strict=True))
    assert not torch.equal(many.weights[0][0], many.weights[0][1])


@pytest.mark.parametrize("count", [1, 3, 4])
@pytest.mark.parametrize(("inputs", "kernel"), [((6,), None), ((1, 6, 6), 3)])
def test_a_control_teacher_is_the_next_teacher_or_a_new_teacher(
    count: int, inputs: tuple[int, ...], kernel: int | None
) -> None:
    teachers = draw_teachers(inputs, [5, 4], init="no_sep", seeds=range(count), kernel=kernel)
    found = unrelated_teachers(teachers, range(count), inputs, kernel)
    last = draw_teachers(inputs, [5, 4], init="separated", seeds=range(count), kernel=kernel, purpose="control-teacher")
    for k, one in enumerate([1, 0, 3, 2][:count]):
        expected = teachers.select([one]) if one < count else last.select([k])
        assert all(torch.equal(a[k : k + 1], b) for a, b in zip(found.weights, expected.weights, strict=True))
        assert all(torch.equal(a[k : k + 1], b) for a, b in zip(found.biases, expected.biases, strict=True))
        alone = unrelated_teachers(teachers, [k], inputs, kernel)
        assert torch.equal(alone.weights[0], found.weights[0][k : k + 1])
    assert not torch.equal(
        last.weights[0], draw_teachers(inputs, [5, 4], init="separated", seeds=range(count), kernel=kernel).weights[0]
    )


@pytest.mark.parametrize("place", ["after", "before"])
def test_a_new_control_teachers_batch_norm_does_not_change_its_output(place: str) -> None:
    teachers = initialize_students((6,), [5, 4], seeds=[-1], batch_norm=True, place=place)
    found, x = unrelated_teachers(teachers, [0], (6,)), torch.randn(1, 6, 20)
    plain = draw_teachers((6,), [5, 4], init="separated", seeds=[0], purpose="control-teacher")
    torch.testing.assert_close(found(x), plain(x), rtol=1e-3, atol=1e-4)


def gaus(infinite: bool, samples: int = 1500) -> Gaus:
    return Gaus(dimension=3, std=10.0, samples=samples, infinite=infinite, batch=64)


def epoch(data: Gaus, seeds: list[int], number: int) -> torch.Tensor:
    return torch.cat(list(data.blocks(seeds, number)), dim=2)


def samples(x: torch.Tensor) -> list[tuple[float, ...]]:
    """The samples of the first seed, to compare whole: single float32 numbers may coincide."""
    return [tuple(sample) for sample in x[0].T.tolist()]


@pytest.mark.parametrize("infinite", [False, True])
def test_an_epoch_has_all_samples_with_the_right_spread(infinite: bool) -> None:
    x = epoch(gaus(infinite, 20_000), [0, 1], 0)
    assert x.shape == (2, 3, 20_000)
    # The standard deviation of an estimate from 60,000 numbers is 10 / sqrt(120,000) = 0.03; five of them.
    assert x.std((1, 2)).tolist() == pytest.approx([10, 10], abs=0.15)


def test_infinite_data_is_new_every_epoch() -> None:
    first, second = (samples(epoch(gaus(True), [0], number)) for number in (0, 1))
    assert len(set(first)) == 1500
    assert not set(first) & set(second)


def test_finite_data_is_one_set_in_a_new_order() -> None:
    first, second = (samples(epoch(gaus(False), [0], number)) for number in (0, 1))
    assert first != second
    assert sorted(first) == sorted(second)


@pytest.mark.parametrize("infinite", [False, True])
def test_a_seeds_samples_do_not_depend_on_the_batch_of_seeds(infinite: bool) -> None:
    together, alone = (epoch(gaus(infinite), seeds, 4) for seeds in ([0, 1, 2], [1]))
    assert torch.equal(together[1:2], alone)
    assert not set(samples(together[:1])) & set(samples(together[1:2]))


@pytest.mark.parametrize(("infinite", "count"), [(True, BLOCK * 64), (False, 1500)])
def test_evaluation_samples_are_fresh_and_fixed(infinite: bool, count: int) -> None:
    """As many as training draws at once: only then would the same stream give the same samples."""
    data = gaus(infinite)
    assert torch.equal(data.evaluation_set([0, 1], count)[0], data.evaluation_set([0, 1], count)[0])
    assert not set(samples(data.evaluation_set([0], count)[0])) & set(samples(epoch(data, [0], 0)))


def test_generators_of_different_purposes_and_keys_are_unrelated() -> None:
    keys = [("a",), ("b",), ("a", 0), ("a", 1), ("a", 0, 1), ("a", 1, 0), ("a", 11)]
    draws = {tuple(generator(purpose, *key).random(4).tolist()) for purpose, *key in keys}
    assert len(draws) == len(keys)
