"""The engine against one-network-at-a-time autograd in float64, and the independence of seeds."""

import os
import platform
import subprocess
import sys

import pytest
import torch
from builders import CONV, FULL, ROUNDING, WIDTHS, draw, inputs, students, vanishes
from oracle import Module, assert_same, sgd
from torch.utils.flop_counter import FlopCounterMode

from luckmatters.science import layers
from luckmatters.science.layers import NORM_EPS
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.shapes import training_operations
from luckmatters.science.training import Trainer, cross_entropy, learning_rate

NORMS = pytest.mark.parametrize("norm", [None, "after", "before"], ids=["no-bn", "bn", "bn-before-relu"])
SHAPES = pytest.mark.parametrize("shape", [FULL, CONV], ids=["fully-connected", "convolutional"])


@pytest.mark.parametrize(
    ("shape", "grouped"),
    [(FULL, False), (CONV, False), (CONV, True)],
    ids=["fully-connected", "convolutional", "convolutional-groups"],
)
@pytest.mark.parametrize(
    "options",
    [{}, {"momentum": 0.9}, {"weight_decay": 0.02}, {"momentum": 0.8, "weight_decay": 0.02}],
    ids=["plain", "momentum", "decay", "both"],
)
@NORMS
def test_steps_equal_autograd_in_float64(shape: dict, grouped: bool, options: dict, norm: str | None) -> None:
    networks = students([3, 1, 4], norm, shape=shape)
    x, y = draw((12, 3, inputs(shape), 16), 1), draw((12, 3, 4, 16), 2)
    modules = [Module(networks, seed) for seed in range(3)]
    trainer = Trainer(networks, **options)
    if grouped:
        trainer._in_turn = []  # as on CUDA
    sizes = [16] * 11 + [10]  # an epoch's last batch may be smaller
    rates = [0.1 if options else 0.3] * 7 + [0.02] * 5
    for step, (size, rate) in enumerate(zip(sizes, rates, strict=True)):
        trainer.step(x[step, ..., :size], y[step, ..., :size], lr=rate)
    for seed, module in enumerate(modules):
        batches = [(x[step, seed, :, :size], y[step, seed, :, :size]) for step, size in enumerate(sizes)]
        assert_same(sgd(module, batches, rates, **options), networks, seed, rtol=1e-10, atol=1e-12)


@SHAPES
def test_kept_normalized_every_step_ends_with_rows_of_norm_one(shape: dict) -> None:
    """As torch's modules, whose rows and biases are divided after every step by the norms of rows."""
    networks = students([3, 1], None, shape=shape)
    x, y = draw((4, 2, inputs(shape), 16), 1), draw((4, 2, 4, 16), 2)
    modules = [Module(networks, seed) for seed in range(2)]
    trainer = Trainer(networks, unit_fan_in=True)
    for step in range(4):
        trainer.step(x[step], y[step], lr=0.3)
        for seed, module in enumerate(modules):
            sgd(module, [(x[step, seed], y[step, seed])], 0.3)
            for linear in module.linears:
                norm = linear.weight.detach().flatten(1).norm(dim=1) + NORM_EPS
                linear.weight.data /= norm.view(-1, *[1] * (linear.weight.dim() - 1))
                linear.bias.data /= norm
    for seed, module in enumerate(modules):
        assert_same(module, networks, seed, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("capability", "calls"), [("AVX2", 4), ("AVX512", 0)])
def test_wide_convolutions_equal_autograd_in_float64(
    capability: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On AVX2 a gradient of 32 by 32 channels is taken across samples, one network at a time."""
    called, own = [], layers.across_samples
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(layers, "across_samples", lambda *operands: called.append(1) or own(*operands))
    networks = students([0, 1], "after", shape={"inputs": (2, 8, 8), "widths": [32, 33, 4], "kernel": 3})
    x, y = draw((2, 2, 128, 5), 1), draw((2, 2, 4, 5), 2)
    modules = [Module(networks, seed) for seed in range(2)]
    trainer = Trainer(networks)
    for step in range(2):
        trainer.step(x[step], y[step], lr=0.1)
    for seed, module in enumerate(modules):
        batches = [(x[step, seed], y[step, seed]) for step in range(2)]
        assert_same(sgd(module, batches, 0.1), networks, seed, rtol=1e-10, atol=1e-12)
    assert len(called) == calls


@SHAPES
def test_steps_on_labels_equal_autograd_in_float64(shape: dict) -> None:
    networks = students([0, 1], "after", shape=shape)
    x, generator = draw((8, 2, inputs(shape), 16), 1), torch.Generator().manual_seed(0)
    labels = torch.randint(4, (8, 2, 16), generator=generator)
    modules = [Module(networks, seed) for seed in range(2)]
    trainer = Trainer(networks, cross_entropy)
    for step in range(8):
        trainer.step(x[step], labels[step], lr=0.3)
    for seed, module in enumerate(modules):
        batches = [(x[step, seed], labels[step, seed]) for step in range(8)]
        trained = sgd(module, batches, 0.3, torch.nn.functional.cross_entropy)
        assert_same(trained, networks, seed, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("channels_last", [False, True], ids=["channels-first", "channels-last"])
@pytest.mark.parametrize("grouped", [False, True], ids=["in-turn", "groups"])
@NORMS
def test_a_step_in_bfloat16_equals_a_step_in_float32_to_the_precision_of_bfloat16(
    grouped: bool, norm: str | None, channels_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "prefers_channels_last", lambda images: channels_last)
    x, y = draw((2, inputs(CONV), 64), 1, torch.float32), draw((2, 4, 64), 2, torch.float32)
    moved = {}
    for precision in (None, torch.bfloat16):
        networks = students([0, 1], norm, torch.float32, CONV)
        before = networks.state()
        trainer = Trainer(networks, momentum=0.9, precision=precision)
        if grouped:
            trainer._in_turn = []
        trainer.step(x, y, lr=0.1)
        moved[precision] = {name: tensor - before[name] for name, tensor in networks.state().items()}
        assert {tensor.dtype for tensor in trainer.state().values()} == {torch.float32}  # the velocity's too
    for name, exact in moved[None].items():
        if norm and vanishes(name):
            continue
        error = (moved[torch.bfloat16][name] - exact).norm() / exact.norm()
        assert 0 < error < ROUNDING, name  # 0 would be float32 all the same


def test_replayed_steps_use_their_own_batch_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording is replayed on each batch, of either size, with the rate of the step."""

    class Recording:
        def __init__(self, trainer: Trainer, *operands: object) -> None:
            self.replay = lambda: trainer._step(*operands)

    monkeypatch.setattr(Trainer, "_record", lambda trainer, *operands: Recording(trainer, *operands))
    sizes, rates = [16, 16, 5, 16, 5, 5, 16, 16], [0.1, 0.1, 0.1, 0.03, 0.03, 0.1, 0.1, 0.03]
    x, y = draw((len(sizes), 2, inputs(FULL), 16), 1), draw((len(sizes), 2, WIDTHS[-1], 16), 2)
    asked, played = (Trainer(students([0, 1], "after")) for _ in range(2))
    for step, (size, rate) in enumerate(zip(sizes, rates, strict=True)):
        for take in (asked._step, played._replay):
            take(x[step, ..., :size], y[step, ..., :size], rate)
    assert len(played._recorded) == 2
    torch.testing.assert_close(played.state(), asked.state(), rtol=0, atol=0)
    assert torch.equal(played.loss_sum, asked.loss_sum)


@SHAPES
@NORMS
def test_activations_equal_modules_in_evaluation_mode(shape: dict, norm: str | None) -> None:
    networks = students([0, 1], norm, shape=shape)
    # One step moves the running statistics.
    Trainer(networks).step(draw((2, inputs(shape), 32)), draw((2, 4, 32)), lr=0.5)
    own, shared = draw((2, inputs(shape), 50), 7), draw((1, inputs(shape), 50), 8)
    for x in (own, shared):
        layers = networks.activations(x)
        for seed in range(2):
            modules = Module(networks, seed).eval().activations(x[seed % len(x)].T)
            for ours, theirs in zip(layers, modules, strict=True):
                expected = theirs.detach().transpose(0, 1).flatten(1)  # (n, P)
                torch.testing.assert_close(ours[seed], expected, rtol=1e-10, atol=1e-12)


@SHAPES
@NORMS
def test_one_teacher_labels_every_seeds_samples(shape: dict, norm: str | None) -> None:
    teacher, x = students([5], norm, shape=shape), draw((3, inputs(shape), 8))
    for seed in range(3):
        torch.testing.assert_close(teacher(x)[seed], teacher(x[seed : seed + 1])[0])


@SHAPES
@NORMS
def test_a_seed_alone_is_the_same_seed_in_a_batch(shape: dict, norm: str | None) -> None:
    x, y = draw((40, 4, inputs(shape), 16), 1, torch.float32), draw((40, 4, 4, 16), 2, torch.float32)
    together, alone = (students(seeds, norm, torch.float32, shape) for seeds in ([0, 1, 2, 3], [2]))
    for step in range(40):
        Trainer(together).step(x[step], y[step], lr=0.1)
        Trainer(alone).step(x[step, 2:3], y[step, 2:3], lr=0.1)
    for name, tensor in alone.named_tensors():
        torch.testing.assert_close(dict(together.named_tensors())[name][2:3], tensor, rtol=1e-5, atol=1e-6)


@SHAPES
@NORMS
def test_a_diverged_seed_leaves_the_others_untouched(shape: dict, norm: str | None) -> None:
    x, y = draw((20, 3, inputs(shape), 16), 1), draw((20, 3, 4, 16), 2)
    healthy, mixed = (students([0, 1, 2], norm, shape=shape) for _ in range(2))
    mixed.weights[0][1] = torch.inf
    for step in range(20):
        Trainer(healthy).step(x[step], y[step], lr=0.1)
        Trainer(mixed).step(x[step], y[step], lr=0.1)
    assert mixed.finite().tolist() == [True, False, True]
    for name, tensor in healthy.named_tensors():
        assert torch.equal(dict(mixed.named_tensors())[name][[0, 2]], tensor[[0, 2]]), name


def test_initialization_is_torchs_default_and_belongs_to_the_seed() -> None:
    many = initialize_students((100,), [300, 10], seeds=range(5))
    assert all(weight.abs().max() <= bound for weight, bound in zip(many.weights, (0.1, 300**-0.5), strict=True))
    assert many.weights[0].std() == pytest.approx(0.1 / 3**0.5, rel=0.01)  # of a uniform distribution in ±0.1
    one = initialize_students((100,), [300, 10], seeds=[3])
    for together, alone in zip(many.weights + many.biases, one.weights + one.biases, strict=True):
        assert torch.equal(together[3:4], alone)
    assert not torch.equal(many.weights[0][0], many.weights[0][1])


def test_uniform_scales_of_norms_leave_the_weights_unchanged() -> None:
    plain, drawn, alone = (
        initialize_students((9,), [400, 300, 4], seeds=seeds, batch_norm=True, norm_scale=scale)
        for seeds, scale in ((range(3), None), (range(3), "uniform"), ([2], "uniform"))
    )
    assert all(
        torch.equal(a, b) for a, b in zip(plain.weights + plain.biases, drawn.weights + drawn.biases, strict=True)
    )
    for norm, before, its in zip(drawn.norms, plain.norms, alone.norms, strict=True):
        assert torch.equal(norm.weight[2:], its.weight)
        assert all(torch.equal(getattr(norm, name), getattr(before, name)) for name in ("bias", "running_mean"))
        assert (before.weight == 1).all()
        assert ((norm.weight >= 0) & (norm.weight < 1)).all()
        # The mean of 900 and more uniform numbers: five standard errors of 0.29 / 30.
        assert norm.weight.mean().item() == pytest.approx(0.5, abs=0.05)
        assert norm.weight.std().item() == pytest.approx(12**-0.5, abs=0.03)
    scales = drawn.norms[0].weight
    assert not torch.equal(scales[0], scales[1])
    assert not torch.equal(scales[0, :300], drawn.norms[1].weight[0])


@SHAPES
@pytest.mark.parametrize("on_labels", [False, True], ids=["outputs", "labels"])
def test_mean_loss_is_over_samples_before_the_step_on_each(shape: dict, on_labels: bool) -> None:
    networks = students([0, 1], "after", shape=shape)
    x, y, sizes = draw((5, 2, inputs(shape), 16), 1), draw((5, 2, 4, 16), 2), [16, 16, 7, 16, 3]
    if on_labels:
        y = y.argmax(2)
    own = torch.nn.functional.cross_entropy if on_labels else torch.nn.functional.mse_loss
    trainer = Trainer(networks, cross_entropy) if on_labels else Trainer(networks)
    assert trainer.mean_loss().isnan().all()
    for steps in (range(3), range(3, 5)):
        modules, sums = [Module(networks, seed).train() for seed in range(2)], [0.0, 0.0]
        for step in steps:
            for seed in range(2):
                batch, target = x[step, seed, :, : sizes[step]], y[step, seed, ..., : sizes[step]]
                sums[seed] += own(modules[seed](batch.T), target if on_labels else target.T).item() * sizes[step]
                sgd(modules[seed], [(batch, target)], 0.1, own).train()
            trainer.step(x[step, ..., : sizes[step]], y[step, ..., : sizes[step]], lr=0.1)
        expected = [one / sum(sizes[step] for step in steps) for one in sums]
        assert trainer.mean_loss().tolist() == pytest.approx(expected, rel=1e-9)


@NORMS
def test_state_returns_what_was_saved(norm: str | None) -> None:
    networks = students([0, 1], norm)
    again = Networks.from_state(networks.state())
    assert (again.place, len(again.norms)) == (networks.place, len(networks.norms))
    assert all(torch.equal(a, dict(again.named_tensors())[name]) for name, a in networks.named_tensors())
    Trainer(again).step(draw((2, 6, 8)), draw((2, 4, 8)), lr=0.1)
    assert not torch.equal(again.weights[0], networks.weights[0])  # a copy, not a view


def test_schedule_takes_the_latest_rate_that_has_begun() -> None:
    schedule = [(0, 0.1), (3, 0.01), (5, 0.001)]
    assert [learning_rate(schedule, epoch) for epoch in range(7)] == [0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]


@SHAPES
def test_operations_equal_the_count_by_torch(shape: dict) -> None:
    module = Module(students([0], None, shape=shape), 0)
    x = draw((5, inputs(shape)))
    with FlopCounterMode(display=False) as counter:
        module(x).sum().backward()
    assert 5 * training_operations(**shape) == counter.get_total_flops()


FAULTS = """
import resource, numpy, torch
from luckmatters.jobs.device import keep_freed_memory

def faults():
    for _ in range(12):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(9 * 2**20)
        numpy.ones(9 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), keep_freed_memory() or faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's malloc that is told")
def test_freed_memory_is_reused_by_the_next_step() -> None:
    """Page faults of an aligned block of 36 MiB and of one of 72, after 11 of each were freed.

    Malloc adapts to blocks of up to 32 MiB by itself. Up to eight blocks may be new: glibc before 2.38 cannot reuse an
    aligned block whose spare edges lie in a cache, which holds seven.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", FAULTS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 10 * after < before
