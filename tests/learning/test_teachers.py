"""Training teachers on labels: evaluation, streams of their own, divergence, resuming."""

import pytest
import torch
from oracle import Module, assert_same, sgd

from luckmatters.learning import teachers as teacher_training
from luckmatters.science.images import Cifar10
from luckmatters.science.networks import PREFIXES, Networks, initialize_students
from luckmatters.science.training import Trainer
from luckmatters.settings.teachers import Teacher

CONV = {"kernel": 3, "widths": [8, 8]}
RECIPE = {"momentum": 0.9, "weight_decay": 0.0005}


def make_teacher(
    rate: float = 0.05, count: int = 2, evaluation: int = 30, shape: dict | None = None, **options: object
) -> Teacher:
    return Teacher.model_validate(
        {
            "inputs": [3, 32, 32], "widths": [6, 5], "outputs": 10, "init": "trained", "batch_norm": True,
            "count": count, **(shape or {}),
            "learning": {
                "data": {
                    "kind": "cifar10", "samples_per_epoch": 64, "augment": True, "evaluation_samples": evaluation
                },
                "training": {
                    "epochs": 3, "batch": 32, "learning_rate": [{"epoch": 0, "rate": rate}], "snapshots": [], **options
                },
            },
        }
    )  # fmt: skip


def images() -> Cifar10:
    stream = torch.Generator().manual_seed(0)
    pictures = torch.randint(256, (110, 3, 32, 32), generator=stream, dtype=torch.uint8)
    labels = torch.arange(110) % 10
    return Cifar10(pictures[:80], labels[:80], pictures[80:], labels[80:], 64, True, 32)


def patterns() -> Cifar10:
    """Ten patterns under noise: something that can be learned."""
    stream = torch.Generator().manual_seed(0)
    labels = torch.arange(940) % 10
    pattern = torch.randint(256, (10, 3, 32, 32), generator=stream)
    noise = torch.randint(256, (940, 3, 32, 32), generator=stream)
    pictures = ((pattern[labels] + 9 * noise) / 10).to(torch.uint8)
    return Cifar10(pictures[:640], labels[:640], pictures[640:], labels[640:], 640, False, 32)


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


@pytest.mark.parametrize(("shape", "precision"), [({}, None), (CONV, None), (CONV, "bfloat16")])
@pytest.mark.parametrize("options", [{}, RECIPE], ids=["plain", "momentum"])
def test_resuming_gives_the_numbers_of_an_uninterrupted_run(options: dict, shape: dict, precision: str | None) -> None:
    teacher = make_teacher(precision=precision, shape=shape, **options)
    states = list(teacher_training.train(teacher, images()))
    assert [state.epoch for state in states] == [0, 1, 2, 3]
    for epoch in (0, 1):
        resumed = list(teacher_training.train(teacher, images(), resume=states[epoch]))[-1]
        torch.testing.assert_close(resumed.tensors, states[-1].tensors, rtol=0, atol=0)
    result = teacher_training.finish(range(2), states[-1])
    assert len(result.table) == 2 * 4 * 2
    final = result.table.query("quantity == 'accuracy' and epoch == 3")["value"].tolist()
    assert final == states[-1].history()["accuracy"][-1].tolist()
    untrained = teacher_training.untrained(teacher, range(2)).state()
    assert result.tensors.keys() == untrained.keys()  # the networks, and nothing that only training needs


def test_bfloat16_changes_a_small_network_less_than_its_seed_does() -> None:
    """Loss and accuracy of every epoch, averaged over seeds, stay within the standard error that seeds leave them."""
    small, found = {"kernel": 3, "widths": [4, 4]}, {}
    for precision in (None, "bfloat16"):
        teacher = make_teacher(0.003, 4, 300, precision=precision, shape=small, epochs=4, **RECIPE)
        found[precision] = list(teacher_training.train(teacher, patterns()))[-1].history()
    assert found[None]["accuracy"][-1].min() > 0.5  # they learn, so that there is something to compare
    for quantity in ("loss", "accuracy"):
        exact, rounded = (found[precision][quantity][1:] for precision in (None, "bfloat16"))
        assert (rounded != exact).any()
        assert ((rounded - exact).mean(1).abs() <= exact.std(1) / 4**0.5).all()


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"weight_decay": 0.05}, RECIPE])
def test_training_equals_torchs_optimizer_on_the_same_batches(options: dict) -> None:
    rates = [{"epoch": 0, "rate": 0.05}, {"epoch": 1, "rate": 0.01}]
    teacher, data = make_teacher(learning_rate=rates, epochs=2, **options), images()
    networks = teacher_training.untrained(teacher, range(2))
    trained = Networks.from_state(
        teacher_training.finish(range(2), list(teacher_training.train(teacher, data))[-1]).tensors
    )
    for place, seed in enumerate(teacher_training.streams(range(2))):
        batches = [(x[0], labels[0]) for epoch in range(2) for x, labels in data.batches([seed], epoch)]
        loss, steps = torch.nn.functional.cross_entropy, [0.05] * 2 + [0.01] * 2
        assert_same(sgd(Module(networks, place), batches, steps, loss, **options), trained, place, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("place", ["after", "before"])
def test_a_readout_scale_sets_only_the_initial_scale_of_the_uppermost_batchnorm(place: str) -> None:
    teacher = make_teacher(shape={"norm": place})
    learning = teacher.learning.model_copy(update={"readout_scale": 0.1})
    plain, scaled = (
        teacher_training.untrained(one, range(2)).state()
        for one in (teacher, teacher.model_copy(update={"learning": learning}))
    )
    name = f"{PREFIXES[place]}.1.weight"
    assert (scaled.pop(name) == 0.1).all()
    assert (plain.pop(name) == 1).all()
    torch.testing.assert_close(scaled, plain, rtol=0, atol=0)


def test_annealed_rates_equal_those_of_torchs_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(Trainer, "step", lambda trainer, x, target, lr: taken.append(lr))
    list(teacher_training.train(make_teacher(0.05, 1, epochs=5, annealing="cosine"), images()))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.05)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5)
    for rates in zip(taken[::2], taken[1::2], strict=True):  # two batches an epoch
        assert rates == (pytest.approx(scheduler.get_last_lr()[0]),) * 2
        optimizer.step()
        scheduler.step()
    assert len(taken) == 2 * 5


def test_training_stops_at_the_epoch_in_which_it_diverges() -> None:
    states = teacher_training.train(make_teacher(rate=1e30), images())
    next(states)
    with pytest.raises(FloatingPointError, match=r"diverged in epoch 1"):
        list(states)
