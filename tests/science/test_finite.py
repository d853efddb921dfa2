"""Finite training sets: which samples an epoch has, and what is done to their targets."""

import numpy as np
import pytest
import torch
from builders import draw
from scipy import stats

from luckmatters.learning.students import batches, training_set
from luckmatters.science.data import Gaus
from luckmatters.science.finite import FiniteSet, of_samples
from luckmatters.science.images import Cifar10, normalize
from luckmatters.science.losses import constant_loss, mean_loss, outputs
from luckmatters.science.networks import initialize_students
from luckmatters.science.random import generator
from luckmatters.science.teachers import draw_teachers

SEEDS = [0, 3]
TEACHERS = draw_teachers((5,), [4, 6, 7], init="separated", seeds=[0, 1])
LABELS = torch.arange(60) % 10


def gaus(**finite: object) -> Gaus:
    return Gaus(5, 10.0, samples=96, infinite=False, batch=20, finite=FiniteSet(32, **finite))


def cifar10(**finite: object) -> Cifar10:
    images = torch.randint(256, (60, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Cifar10(images, LABELS, images, LABELS, 48, False, batch=20, finite=FiniteSet(16, **finite))


def epoch(data: Gaus | Cifar10, number: int, *, on_labels: bool = False, seeds: list[int] = SEEDS):
    """The samples and targets of an epoch."""
    teachers = TEACHERS.select([SEEDS.index(seed) for seed in seeds])
    x, targets = zip(*batches(teachers, data, seeds, number, on_labels=on_labels), strict=True)
    return torch.cat(x, -1), torch.cat(targets, -1)


def pairs(x: torch.Tensor, targets: torch.Tensor) -> list[list[tuple]]:
    """Every sample of each seed with its target, in order."""
    return [
        [(*sample.tolist(), *np.atleast_1d(target).tolist()) for sample, target in zip(own.T, its.T, strict=True)]
        for own, its in zip(x, targets.numpy(), strict=True)
    ]


def test_every_pass_has_every_sample_once_in_a_new_order() -> None:
    order = FiniteSet(10).order(generator("test"), 30).view(3, 10)
    assert torch.equal(order.sort(1).values, torch.arange(10).expand(3, 10))
    assert len({tuple(one) for one in order.tolist()}) == 3
    assert order[0].tolist() == generator("test").permutation(10).tolist()  # as a set as large as an epoch has it


@pytest.mark.parametrize("alteration", [{}, {"noise": 0.5}, {"shuffled": True}, {"shuffled": True, "noise": 0.5}])
def test_a_sample_has_the_same_target_in_every_pass_and_epoch(alteration: dict) -> None:
    data = gaus(**alteration)
    whole = pairs(*training_set(TEACHERS, data, SEEDS, on_labels=False))
    for number in (0, 1):
        for own, known in zip(pairs(*epoch(data, number)), whole, strict=True):
            assert sorted(own) == sorted(known * 3)
    assert pairs(*epoch(data, 0)) != pairs(*epoch(data, 1))


@pytest.mark.parametrize("alteration", [{"noise": 0.5}, {"shuffled": True}])
def test_a_seeds_set_does_not_depend_on_the_batch_of_seeds(alteration: dict) -> None:
    together, alone = (epoch(gaus(**alteration), 1, seeds=seeds) for seeds in (SEEDS, [3]))
    for many, one in zip(together, alone, strict=True):
        torch.testing.assert_close(many[1:], one)


def test_permuted_targets_are_the_same_targets_at_other_samples() -> None:
    (x, clean), (same, moved) = (
        training_set(TEACHERS, gaus(shuffled=shuffled), SEEDS, on_labels=False) for shuffled in (False, True)
    )
    assert torch.equal(x, same)
    for own, other in zip(clean, moved, strict=True):
        assert sorted(own.T.tolist()) == sorted(other.T.tolist())
        at_home = (own == other).all(0).sum()
        assert at_home < 8  # of 32; a random permutation leaves one in its place on average, 8 with probability 1e-5
    order = generator("target-shuffle", 3).permutation(32)
    assert torch.equal(moved[1], clean[1][:, order])


def test_noise_is_a_share_of_the_outputs_spread_and_unrelated_to_the_samples() -> None:
    data = Gaus(5, 10.0, samples=4000, infinite=False, batch=20, finite=FiniteSet(4000, noise=0.5))
    x, noisy = training_set(TEACHERS, data, SEEDS, on_labels=False)
    clean = TEACHERS(x)
    noise = (noisy - clean).double()
    spread = clean.double().var(2, correction=0).mean(1).sqrt()
    # The standard deviation of an estimate from 28,000 numbers is 1 / sqrt(56,000) = 0.4 %; five of them.
    torch.testing.assert_close(noise.std((1, 2)), 0.5 * spread, rtol=0.02, atol=0)
    assert noise.mean((1, 2)).abs().max() < 0.5 * 5 * spread.max() / 28_000**0.5
    assert abs(np.corrcoef(*noise.flatten(1))[0, 1]) < 5 / 28_000**0.5  # each seed has noise of its own
    # Correlations of 4,000 independent pairs have a standard deviation of 1 / sqrt(4,000); five of them.
    for own, samples in zip(noise, x, strict=True):
        correlation = np.corrcoef(np.concatenate([own.numpy(), samples.numpy()]))
        assert np.abs(correlation - np.eye(len(correlation)))[:7].max() < 5 / 4000**0.5


@pytest.mark.parametrize("shuffled", [False, True])
def test_images_of_a_set_keep_their_labels_unless_labels_are_permuted(shuffled: bool) -> None:
    data = cifar10(shuffled=shuffled)
    x, labels = training_set(None, data, SEEDS, on_labels=True)
    for position, seed in enumerate(SEEDS):
        chosen = generator("cifar10-finite", seed).permutation(60)[:16]
        assert torch.equal(x[position], normalize(data.train_images[chosen]))
        assert torch.equal(labels[position], LABELS[chosen]) == (not shuffled)
        assert torch.equal(labels[position].sort().values, LABELS[chosen].sort().values)
    known = pairs(x, labels)
    for own, whole in zip(pairs(*epoch(data, 2, on_labels=True)), known, strict=True):
        assert sorted(own) == sorted(whole * 3)


def test_images_without_targets_are_those_of_the_set_too() -> None:
    data = cifar10()
    x, labels = (torch.cat(parts, -1) for parts in zip(*data.batches(SEEDS, 1), strict=True))
    expected = epoch(data, 1, on_labels=True)
    assert torch.equal(x, expected[0])
    assert torch.equal(labels, expected[1])


def test_samples_are_chosen_alike_whether_or_not_they_lie_whole_in_memory() -> None:
    values, index = draw((2, 3, 7)), torch.tensor([[4, 0], [6, 6]])
    found = of_samples(values, index)
    whole = of_samples(values.transpose(1, 2).contiguous().transpose(1, 2), index)
    assert torch.equal(found, whole)
    assert torch.equal(found, torch.stack([values[0][:, [4, 0]], values[1][:, [6, 6]]]))


def test_the_constant_loss_of_outputs_is_that_of_their_means() -> None:
    targets = draw((2, 3, 50))
    best = targets.mean(2, keepdim=True)
    torch.testing.assert_close(constant_loss(targets), mean_loss(best.expand_as(targets), targets))
    assert (mean_loss(best + 0.01, targets) > constant_loss(targets)).all()


def test_the_constant_loss_of_labels_is_the_entropy_of_their_frequencies() -> None:
    labels = torch.tensor([[0, 1, 1, 3], [2, 2, 2, 2]])
    expected = [stats.entropy([1, 2, 1]), 0.0]
    assert constant_loss(labels).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("on_labels", [False, True])
def test_losses_are_those_of_torch(on_labels: bool) -> None:
    students, x = initialize_students((5,), [4, 3], seeds=SEEDS), draw((2, 5, 30), dtype=torch.float32)
    targets = LABELS[:30].remainder(3).expand(2, -1) if on_labels else draw((2, 3, 30), 1, torch.float32)
    functional = torch.nn.functional
    one_loss = functional.cross_entropy if on_labels else functional.mse_loss
    expected = [one_loss(y.T, t if on_labels else t.T) for y, t in zip(outputs(students, x), targets, strict=True)]
    torch.testing.assert_close(mean_loss(outputs(students, x), targets), torch.stack(expected).double())
