"""Training teachers on labels: evaluation, streams of their own, divergence, resuming."""

import pytest
import torch
from oracle import Module

from luckmatters.config.schema import Teacher
from luckmatters.experiments import teacher_training
from luckmatters.science.images import Cifar10
from luckmatters.science.networks import initialize_students


def make_teacher(rate: float = 0.05, count: int = 2) -> Teacher:
    return Teacher.model_validate(
        {
            "inputs": [3, 32, 32], "widths": [6, 5], "outputs": 10, "init": "pretrained", "batch_norm": True,
            "count": count,
            "pretraining": {
                "data": {"kind": "cifar10", "samples_per_epoch": 64, "augment": True, "evaluation_samples": 30},
                "training": {"epochs": 3, "batch": 32, "learning_rate": [{"epoch": 0, "rate": rate}], "snapshots": []},
            },
        }
    )  # fmt: skip


def images() -> Cifar10:
    stream = torch.Generator().manual_seed(0)
    pictures = torch.randint(256, (110, 3, 32, 32), generator=stream, dtype=torch.uint8)
    labels = torch.arange(110) % 10
    return Cifar10(pictures[:80], labels[:80], pictures[80:], labels[80:], 64, True, 32)


def test_evaluation_in_parts_equals_modules_on_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher_training, "EVALUATION_PART", 7)
    networks = initialize_students((3, 32, 32), [6, 5, 10], seeds=[0, 1], batch_norm=True)
    x, labels = images().evaluation_set([0], 30)
    found = teacher_training.evaluate(networks, x, labels)
    for seed in range(2):
        outputs = Module(networks, seed).eval()(x[0].T)
        loss = torch.nn.functional.cross_entropy(outputs, labels).item()
        assert found["loss"][seed].item() == pytest.approx(loss, rel=1e-5)
        assert found["accuracy"][seed].item() == (outputs.argmax(1) == labels).double().mean().item()


def test_a_teacher_is_the_same_alone_and_shares_no_stream_with_students() -> None:
    seen = []

    class Watched(Cifar10):
        def batches(self, seeds, epoch):
            seen.append(list(seeds))
            return super().batches(seeds, epoch)

    data = Watched(**vars(images()))
    together, alone = (list(teacher_training.train(make_teacher(count=count), data))[-1] for count in (2, 1))
    assert all(seed < 0 for seeds in seen for seed in seeds)  # students' seeds are 0 or more
    for name, tensor in alone.network().items():
        torch.testing.assert_close(together.network()[name][:1], tensor, rtol=1e-4, atol=1e-5)


def test_resuming_gives_the_undisturbed_numbers() -> None:
    states = list(teacher_training.train(make_teacher(), images()))
    assert [state.epoch for state in states] == [0, 1, 2, 3]
    resumed = list(teacher_training.train(make_teacher(), images(), resume=states[1]))[-1]
    torch.testing.assert_close(resumed.tensors, states[-1].tensors, rtol=0, atol=0)
    result = teacher_training.finish(range(2), states[-1])
    assert len(result.table) == 2 * 4 * 2
    final = result.table.query("quantity == 'accuracy' and epoch == 3")["value"].tolist()
    assert final == states[-1].history()["accuracy"][-1].tolist()


def test_training_stops_at_the_epoch_in_which_it_diverges() -> None:
    states = teacher_training.train(make_teacher(rate=1e30), images())
    next(states)
    with pytest.raises(FloatingPointError, match=r"diverged in epoch 1"):
        list(states)
