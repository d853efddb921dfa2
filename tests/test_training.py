"""The engine against one-network-at-a-time autograd in float64, and the independence of seeds."""

import pytest
import torch
from oracle import Module, assert_same, sgd

from luckmatters.science.networks import FullyConnected, initialize_students
from luckmatters.science.training import Trainer, learning_rate

WIDTHS = [7, 5, 9, 4]


def draw(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def students(seeds: list[int], batch_norm: bool, dtype: torch.dtype = torch.float64) -> FullyConnected:
    return initialize_students(6, WIDTHS, seeds=seeds, batch_norm=batch_norm, dtype=dtype)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_steps_equal_autograd_in_float64(batch_norm: bool) -> None:
    networks = students([3, 1, 4], batch_norm)
    x, y = draw((12, 3, 6, 16), 1), draw((12, 3, 4, 16), 2)
    modules = [Module(networks, seed) for seed in range(3)]
    trainer = Trainer(networks)
    sizes = [16] * 11 + [10]  # an epoch's last batch may be smaller
    for step, size in enumerate(sizes):
        trainer.step(x[step, ..., :size], y[step, ..., :size], lr=0.3)
    for seed, module in enumerate(modules):
        batches = [(x[step, seed, :, :size], y[step, seed, :, :size]) for step, size in enumerate(sizes)]
        assert_same(sgd(module, batches, 0.3), networks, seed, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_activations_equal_modules_in_evaluation_mode(batch_norm: bool) -> None:
    networks = students([0, 1], batch_norm)
    Trainer(networks).step(draw((2, 6, 32)), draw((2, 4, 32)), lr=0.5)  # moves the running statistics
    x = draw((2, 6, 50), 7)
    for seed in range(2):
        expected = Module(networks, seed).eval()(x[seed].T).T
        torch.testing.assert_close(networks(x)[seed], expected.detach(), rtol=1e-10, atol=1e-12)


def test_one_teacher_labels_every_seeds_samples() -> None:
    teacher, x = students([5], False), draw((3, 6, 8))
    for seed in range(3):
        torch.testing.assert_close(teacher(x)[seed], teacher(x[seed : seed + 1])[0])


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_seed_alone_is_the_same_seed_in_a_batch(batch_norm: bool) -> None:
    x, y = draw((40, 4, 6, 16), 1, torch.float32), draw((40, 4, 4, 16), 2, torch.float32)
    together, alone = (students(seeds, batch_norm, torch.float32) for seeds in ([0, 1, 2, 3], [2]))
    for step in range(40):
        Trainer(together).step(x[step], y[step], lr=0.1)
        Trainer(alone).step(x[step, 2:3], y[step, 2:3], lr=0.1)
    for name, tensor in alone.named_tensors():
        torch.testing.assert_close(dict(together.named_tensors())[name][2:3], tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_diverged_seed_leaves_the_others_untouched(batch_norm: bool) -> None:
    x, y = draw((20, 3, 6, 16), 1), draw((20, 3, 4, 16), 2)
    healthy, mixed = students([0, 1, 2], batch_norm), students([0, 1, 2], batch_norm)
    mixed.weights[0][1] = torch.inf
    for step in range(20):
        Trainer(healthy).step(x[step], y[step], lr=0.1)
        Trainer(mixed).step(x[step], y[step], lr=0.1)
    assert mixed.finite().tolist() == [True, False, True]
    for name, tensor in healthy.named_tensors():
        assert torch.equal(dict(mixed.named_tensors())[name][[0, 2]], tensor[[0, 2]]), name


def test_initialization_is_torchs_default_and_belongs_to_the_seed() -> None:
    many = initialize_students(100, [300, 10], seeds=range(5))
    assert all(weight.abs().max() <= bound for weight, bound in zip(many.weights, (0.1, 300**-0.5), strict=True))
    assert many.weights[0].std() == pytest.approx(0.1 / 3**0.5, rel=0.01)  # of a uniform distribution in ±0.1
    one = initialize_students(100, [300, 10], seeds=[3])
    for together, alone in zip(many.weights + many.biases, one.weights + one.biases, strict=True):
        assert torch.equal(together[3:4], alone)
    assert not torch.equal(many.weights[0][0], many.weights[0][1])


def test_state_returns_what_was_saved() -> None:
    networks = students([0, 1], True)
    again = FullyConnected.from_state(networks.state())
    assert all(torch.equal(a, dict(again.named_tensors())[name]) for name, a in networks.named_tensors())
    Trainer(again).step(draw((2, 6, 8)), draw((2, 4, 8)), lr=0.1)
    assert not torch.equal(again.weights[0], networks.weights[0])  # a copy, not a view


def test_schedule_takes_the_latest_rate_that_has_begun() -> None:
    schedule = [(0, 0.1), (3, 0.01), (5, 0.001)]
    assert [learning_rate(schedule, epoch) for epoch in range(7)] == [0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
