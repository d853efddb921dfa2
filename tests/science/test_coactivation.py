"""Joint firing against naive loops and exact probabilities; BatchNorm's statistics against modules in training mode."""

import itertools
import math

import pytest
import torch
from oracle import Module

from luckmatters.kinds.co_activation import run as co_activation
from luckmatters.kinds.co_activation.settings import CoActivation
from luckmatters.learning.teachers import untrained
from luckmatters.science.coactivation import Coactivation, LayerCoactivation
from luckmatters.science.moments import with_statistics_of
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.training import Trainer
from luckmatters.settings.experiment import Run
from luckmatters.settings.teachers import Teacher

PLACES = pytest.mark.parametrize("place", ["after", "before"])


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def measured(*parts: torch.Tensor) -> LayerCoactivation:
    gathered = Coactivation()
    for part in parts:
        gathered.add(part)
    return gathered.measure()


def test_joint_firing_from_any_parts_equals_a_naive_loop() -> None:
    f = draw(2, 5, 40).relu()
    f[0, 3] = 0  # never fires
    f[1, 2] = 1  # always does
    for found in (measured(f), measured(f[..., :7], f[..., 7:8], f[..., 8:])):
        for seed in range(2):
            for j, k in itertools.product(range(5), repeat=2):
                both = sum(f[seed, j, n].item() > 0 and f[seed, k, n].item() > 0 for n in range(40)) / 40
                assert found.joint[seed, j, k].item() == both
            pairs = list(itertools.combinations(range(5), 2))
            alone = [(f[seed, j] > 0).double().mean().item() for j in range(5)]
            together = sum(found.joint[seed, j, k].item() for j, k in pairs) / len(pairs)
            independent = sum(alone[j] * alone[k] for j, k in pairs) / len(pairs)
            assert found.alone()[seed].item() == pytest.approx(sum(alone) / 5)
            assert found.together()[seed].item() == pytest.approx(together)
            assert found.independent()[seed].item() == pytest.approx(independent)


def test_half_spaces_fire_together_according_to_their_angle() -> None:
    """Sheppard's formula: P(both > 0) = 1/4 + arcsin(cosine) / 2π for Gaussian inputs and no biases."""
    weight = draw(1, 6, 4)
    networks = Networks([weight, draw(1, 2, 6)], [torch.zeros(1, 6, 1), torch.zeros(1, 2, 1)], [])
    (found,) = co_activation.coactivations(networks, draw(1, 4, 200_000, seed=1))
    unit = weight[0] / weight[0].norm(dim=1, keepdim=True)
    expected = 0.25 + torch.asin((unit @ unit.T).clamp(-1, 1)) / (2 * math.pi)
    torch.testing.assert_close(found.measure().joint[0], expected.double(), rtol=0, atol=5 * 0.5 / math.sqrt(200_000))


@PLACES
@pytest.mark.parametrize("shape", [((6,), None), ((2, 8, 8), 3)], ids=["fully-connected", "convolutional"])
def test_statistics_are_those_of_modules_in_training_mode(place: str, shape: tuple) -> None:
    inputs, kernel = shape
    networks = initialize_students(
        inputs, [5, 4, 3], seeds=[0, 1], kernel=kernel, batch_norm=True, place=place, dtype=torch.float64
    )
    trained, y = draw(2, math.prod(inputs), 16, seed=1).double(), draw(2, 3, 16, seed=2).double()
    Trainer(networks).step(trained, y, lr=0.1)  # so that scales and biases are not 1 and 0
    x = draw(2, math.prod(inputs), 30, seed=3).double()
    found = with_statistics_of(networks, x).activations(x)
    for seed in range(2):
        module = Module(networks, seed).train()
        for ours, theirs in zip(found, module.activations(x[seed].T), strict=True):
            torch.testing.assert_close(ours[seed], theirs.detach().transpose(0, 1).flatten(1), rtol=1e-9, atol=1e-11)


def make_run() -> Run:
    teacher = {
        "inputs": [3, 32, 32], "widths": [6, 5], "outputs": 10, "init": "trained", "batch_norm": True,
        "norm": "before", "count": 3,
        "learning": {
            "data": {"kind": "cifar10", "samples_per_epoch": 64, "augment": True, "evaluation_samples": 30},
            "training": {"epochs": 4, "batch": 32, "learning_rate": [{"epoch": 0, "rate": 0.1}], "snapshots": []},
        },
    }  # fmt: skip
    settings = CoActivation.model_validate(
        {"teacher": {"name": "t", "seed": "own"}, "data": {"kind": "cifar10", "evaluation_samples": 30}, "seeds": 3}
    )
    return Run(
        experiment="e", variant="v", scale="ci", kind="co-activation", labels={}, settings=settings,
        teacher=Teacher.model_validate(teacher), seeds=[0, 1, 2],
    )  # fmt: skip


def images() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(256, (60, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return {
        "train_images": pictures[:20], "train_labels": torch.arange(20) % 10,
        "test_images": pictures[20:], "test_labels": torch.arange(40) % 10,
    }  # fmt: skip


def test_a_trained_teacher_is_observed_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(co_activation, "PART", 7)
    run = make_run()
    trained = untrained(run.teacher, range(3))
    for layer, norm in enumerate(trained.norms):
        norm.bias[:] = torch.linspace(-1, layer, norm.bias.shape[1])
        norm.bias[:, 1] = 0
    data = co_activation.data_source(run.settings.data, run.teacher.shape, images())
    result = co_activation.observe(run, trained, data, [0, 2])
    table = result.table.set_index(["quantity", "epoch", "layer", "seed"])["value"].sort_index()
    assert sorted(result.table["epoch"].unique()) == [0, 4]
    assert table["zero", 0].tolist() == [6, 6, 5, 5]  # before training every bias is zero
    assert table["negative", 4].tolist() == [(norm.bias[0] < 0).sum() for norm in trained.norms for _ in range(2)]
    assert table["zero", 4].tolist() == [(norm.bias[0] == 0).sum() for norm in trained.norms for _ in range(2)]
    x, _ = data.evaluation_set([0], 30)
    for epoch, networks in ((0, with_statistics_of(untrained(run.teacher, [0, 2]), x)), (4, trained.select([0, 2]))):
        for layer, activation in enumerate(networks.activations(x)[:-1]):
            expected = measured(activation)
            torch.testing.assert_close(result.tensors[f"joint/{epoch}/{layer}"], expected.joint.float())
            assert table["together", epoch, layer].tolist() == pytest.approx(expected.together().tolist())
            assert table["fires", epoch, layer].tolist() == pytest.approx(expected.alone().tolist())


def test_too_few_images_are_refused() -> None:
    run = make_run()
    settings = run.settings.data.model_copy(update={"evaluation_samples": 41})
    with pytest.raises(ValueError, match="41 evaluation images are asked for, but there are 40"):
        co_activation.data_source(settings, run.teacher.shape, images())
