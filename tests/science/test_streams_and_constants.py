"""What only a number that is a little off would show: which stream, which constant, which of two like objects.

Everything here is told from outside: published numbers are written out, not read from the module that is tested.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from oracle import correlation
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from luckmatters.kinds.co_activation import run as co_activation
from luckmatters.kinds.decision_lines import run as decision_lines
from luckmatters.kinds.decision_lines.settings import DecisionLines
from luckmatters.kinds.fan_out import run as fan_out
from luckmatters.kinds.fan_out.settings import FanOut
from luckmatters.kinds.gradient_rule import run as gradient_rule
from luckmatters.kinds.lottery import run as lottery
from luckmatters.kinds.lottery.settings import Lottery
from luckmatters.kinds.luck_speed import run as luck_speed
from luckmatters.kinds.luck_speed.settings import LuckSpeed
from luckmatters.kinds.modulation import run as modulation
from luckmatters.kinds.rank_profile import run as rank_profile
from luckmatters.kinds.rank_profile.settings import RankProfile
from luckmatters.kinds.student_training import run as student_training
from luckmatters.kinds.two_nodes import run as two_nodes
from luckmatters.kinds.two_nodes.settings import TwoNodes
from luckmatters.learning import teachers as teacher_training
from luckmatters.learning.data import data_source
from luckmatters.learning.students import snapshot
from luckmatters.science import criteria
from luckmatters.science.data import Gaus
from luckmatters.science.dynamics import Dynamics
from luckmatters.science.images import Cifar10, crops, normalize
from luckmatters.science.modulation import layers
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.pruning import Mask, keep_by_layer, keep_overall, on_random_nodes, shuffled
from luckmatters.science.teachers import draw_teachers, unrelated_teachers
from luckmatters.science.tickets import BRANCHES, Trunk
from luckmatters.science.training import Trainer
from luckmatters.settings.data import Cifar10Data, GausData, GausSamples
from luckmatters.settings.experiment import Run
from luckmatters.settings.students import GradientMeasurement, StudentTraining
from luckmatters.settings.teachers import Teacher

SEEDS, EPOCHS = [0, 2], 3
SCHEDULE = [{"epoch": 0, "rate": 0.05}, {"epoch": 1, "rate": 0.02}, {"epoch": 2, "rate": 0.01}]
TEACHERS = draw_teachers((5,), [4, 3, 7], init="separated", seeds=range(5))
DATA = Gaus(dimension=5, std=10.0, samples=64, infinite=True, batch=32)
SETTINGS = {
    "teacher": {"name": "toy", "seed": "own"},
    "student": {"multiplier": 3, "batch_norm": False},
    "data": {"kind": "gaus", "std": 10.0, "samples_per_epoch": 64, "infinite": True, "evaluation_samples": 128},
    "training": {"epochs": EPOCHS, "batch": 32, "learning_rate": SCHEDULE, "snapshots": [1]},
    "seeds": SEEDS,
}
TRAINED_TEACHER = Teacher.model_validate(
    {
        "inputs": [3, 32, 32], "widths": [4, 3], "outputs": 10, "init": "trained", "batch_norm": True, "count": 2,
        "learning": {
            "data": {"kind": "cifar10", "samples_per_epoch": 64, "augment": True, "evaluation_samples": 50},
            "training": {"epochs": EPOCHS, "batch": 32, "learning_rate": SCHEDULE, "snapshots": []},
        },
    }
)  # fmt: skip
SIMULATION = {"learning_rate": 0.03, "batch": 8, "steps_per_epoch": 2, "epochs": 3, "seeds": SEEDS}
SIMULATED = {
    decision_lines: (DecisionLines, {"teacher_nodes": 2, "students": 4, "outputs": 3, "std": 3.0, "snapshots": [3]}),
    fan_out: (
        FanOut,
        {"widths": [4, 5, 6], "multiplier": 2, "starts": {"a": [1.0, 0.0]}, "bias": 0.1, "gradient": "matrix",
         "snapshots": [3]},
    ),
    two_nodes: (TwoNodes, {"inputs": 4, "outputs": 3, "replicas": 2, "gradient": "accurate", "levels": [0.9]}),
}  # fmt: skip
SIMULATING = pytest.mark.parametrize("kind", SIMULATED, ids=lambda kind: kind.__name__.split(".")[-1])


def make_run(kind: str, settings: object, source: Run | None = None) -> Run:
    teacher = Teacher.model_validate({"inputs": 5, "widths": [4, 3], "outputs": 7, "init": "separated", "count": 5})
    return Run(
        experiment="toy", variant="base", scale="ci", kind=kind, labels={}, settings=settings, teacher=teacher,
        seeds=SEEDS, source=source,
    )  # fmt: skip


def simulated(kind) -> Run:
    model, own = SIMULATED[kind]
    return make_run(kind.__name__.split(".")[-1].replace("_", "-"), model.model_validate(SIMULATION | own))


def pictures() -> Cifar10:
    """60 training images of one shade each, 0 to 59, and 50 test images, 100 to 149; labels follow from shades."""
    shades = torch.arange(60), torch.arange(100, 150)
    images = [shade.to(torch.uint8)[:, None, None, None].expand(-1, 3, 32, 32).contiguous() for shade in shades]
    labels = [label(shade) for shade in shades]
    return Cifar10(images[0], labels[0], images[1], labels[1], samples=40, augment=False, batch=16)


def label(shade):
    """Of an image, from 0 to 9; not all are equally frequent."""
    return shade // 4 % 10


# --- streams ---------------------------------------------------------------------------------------------------------


def streams(call: Callable[[], object]) -> set[str]:
    """The names of the random streams that a call draws from."""
    seen, own = set(), hashlib.blake2b
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashlib, "blake2b", lambda text, **options: seen.add(text.decode()) or own(text, **options))
        call()
    return seen


def trunk(seed: int) -> tuple[Trunk, Mask]:
    """A finished run and a mask of its four nodes."""
    students = initialize_students((3,), [4, 2], seeds=[seed])
    return Trunk(students, students, students, [seed], (3,), None), Mask((torch.tensor([[1.0, 0, 1, 0]]),))


TRUNKS = {seed: trunk(seed) for seed in range(3)}
LAST = {seed: TEACHERS.select(range(2 * seed + 1)) for seed in TRUNKS}  # files whose last teacher has no neighbour
GAUS = Gaus(dimension=3, std=3.0, samples=40, infinite=True, batch=8)
FINITE = Gaus(dimension=3, std=3.0, samples=40, infinite=False, batch=8)
AUGMENTED = Cifar10(*(getattr(pictures(), name) for name in ("train_images", "train_labels", "test_images",
                      "test_labels")), samples=40, augment=True, batch=16)  # fmt: skip
DRAWS: dict[str, Callable[[int, int], object]] = {
    "GAUS training": lambda seed, epoch: list(GAUS.blocks([seed], epoch)),
    "GAUS finite": lambda seed, epoch: list(FINITE.blocks([seed], epoch)),
    "GAUS evaluation": lambda seed, epoch: GAUS.evaluation_set([seed], 8),
    "CIFAR-10 training": lambda seed, epoch: list(AUGMENTED.batches([seed], epoch)),
    "students": lambda seed, epoch: initialize_students((3,), [4, 2], seeds=[seed]),
    "separated teachers": lambda seed, epoch: draw_teachers((3,), [4, 2], init="separated", seeds=[seed]),
    "other teachers": lambda seed, epoch: draw_teachers((3,), [4, 2], init="no_sep", seeds=[seed]),
    "unrelated teachers": lambda seed, epoch: unrelated_teachers(LAST[seed], [2 * seed], (5,)),
    "new weights": lambda seed, epoch: BRANCHES["reinitialized"](*TRUNKS[seed]),
    "scratch": lambda seed, epoch: BRANCHES["scratch"](*TRUNKS[seed]),
    "shuffled": lambda seed, epoch: shuffled(TRUNKS[seed][1], seeds=[seed]),
    "random nodes": lambda seed, epoch: on_random_nodes(TRUNKS[seed][1], seeds=[seed]),
    "fan-out samples": lambda seed, epoch: fan_out.samples([seed], epoch, 1, 2, 3),
    **{
        f"{kind.__name__} networks": lambda seed, epoch, kind=kind: kind.draw(simulated(kind), [seed])
        for kind in (fan_out, two_nodes)
    },
}  # fmt: skip


def names(draw: str, seeds: Sequence[int] = tuple(TRUNKS), epochs: Sequence[int] = (-1, 0, 1)) -> set[str]:
    """All streams of a draw; epoch -1 is that of the samples by which networks are pruned."""
    return set().union(*(streams(lambda s=s, e=e: DRAWS[draw](s, e)) for s in seeds for e in epochs))


def test_draws_for_different_purposes_share_no_stream() -> None:
    owner: dict[str, str] = {}
    for draw in DRAWS:
        for name in names(draw):
            assert owner.setdefault(name, draw) == draw, name


def test_scales_of_batch_norm_have_their_own_stream_for_each_seed() -> None:
    weights = streams(lambda: initialize_students((3,), [4, 2], seeds=range(3), batch_norm=True))
    both = streams(lambda: initialize_students((3,), [4, 2], seeds=range(3), batch_norm=True, norm_scale="uniform"))
    assert weights < both
    assert len(both - weights) == 3


@pytest.mark.parametrize("draw", DRAWS)
def test_seeds_share_no_stream(draw: str) -> None:
    one, other = (names(draw, [seed]) for seed in (0, 1))
    assert one
    assert not one & other


def test_trained_teachers_share_no_stream_with_students_or_among_themselves() -> None:
    students = streams(lambda: initialize_students((3,), [4, 2], seeds=range(9)))
    one, other = (streams(lambda s=s: teacher_training.untrained(TRAINED_TEACHER, [s])) for s in (0, 1))
    assert one
    assert not one & other
    assert not students & (one | other)


def test_augmentation_and_order_of_images_have_separate_streams() -> None:
    """What is drawn for augmented images is the order's stream, which they share with plain ones, and one more."""
    plain, augmented = (streams(lambda d=d: list(d.batches([5], 4))) for d in (pictures(), AUGMENTED))
    assert plain < augmented


@SIMULATING
def test_a_simulation_draws_new_samples_every_epoch_and_separate_evaluation_samples(kind) -> None:
    states = kind.simulate(simulated(kind), SEEDS)
    start, first, second = (streams(lambda: next(states)) for _ in range(3))
    # Teachers, students and what decision lines are measured on; two nodes draw their networks one after the other.
    assert len(start) == {decision_lines: 3, fan_out: 2, two_nodes: 1}[kind] * len(SEEDS)
    assert first - start
    assert second - start - first
    for seed in SEEDS:
        alone = kind.simulate(simulated(kind), [seed])
        assert len(streams(lambda its=alone: [next(its), next(its)])) * len(SEEDS) == len(start | first)


# --- settings reach what they are for --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "draw",
    [
        lambda std: torch.cat(list(Gaus(4, std, 3000, True, 50).blocks(SEEDS, 1)), 2),
        lambda std: torch.cat(list(Gaus(4, std, 3000, False, 50).blocks(SEEDS, 1)), 2),
        lambda std: Gaus(4, std, 10, True, 5).evaluation_set(SEEDS, 3000)[0],
        lambda std: decision_lines.samples("toy", SEEDS, (4, 3000), std),
    ],
    ids=["new", "finite", "evaluation", "decision-lines"],
)
def test_samples_have_the_standard_deviation_that_is_set(draw: Callable[[float], Tensor]) -> None:
    # The estimate from 24,000 numbers has a standard error of 1 / sqrt(48,000) = 0.005; five of them.
    assert draw(1.0).std().item() == pytest.approx(1, abs=0.025)
    assert torch.equal(draw(3.0), 3 * draw(1.0))


def test_decision_lines_train_and_measure_on_samples_of_the_standard_deviation_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken, own = [], decision_lines.samples
    monkeypatch.setattr(decision_lines, "samples", lambda *args: taken.append(args[3]) or own(*args))
    list(decision_lines.simulate(simulated(decision_lines), SEEDS))
    assert len(taken) == 4 + 3  # measurements, and epochs
    assert set(taken) == {3.0}


def test_sources_of_samples_follow_the_settings() -> None:
    gaus = GausData(kind="gaus", std=3.0, samples_per_epoch=100, infinite=False, evaluation_samples=7)
    assert data_source(gaus, (2, 3), 16, None, "cpu") == Gaus(6, 3.0, 100, False, 16, "cpu")
    observed = co_activation.data_source(GausSamples(kind="gaus", std=3.0, evaluation_samples=7), (2, 3), None)
    assert (observed.dimension, observed.std) == (6, 3.0)
    images = {name: value for name, value in vars(pictures()).items() if name.startswith(("train_", "test_"))}
    for augment in (False, True):
        cifar = Cifar10Data(kind="cifar10", samples_per_epoch=30, augment=augment, evaluation_samples=7)
        found = data_source(cifar, (3, 32, 32), 16, images, "cpu")
        assert (found.samples, found.augment, found.batch) == (30, augment, 16)
        assert all(torch.equal(getattr(found, name), its) for name, its in images.items())


class Rates:
    """The learning rates of the steps that are asked for; none is taken."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.taken: list[float] = []
        patch.setattr(Trainer, "step", lambda trainer, x, target, lr: self.taken.append(lr))
        patch.setattr(Dynamics, "run", lambda dynamics, x, rate: self.taken.append(rate))


TRAINING = make_run("student-training", StudentTraining.model_validate(SETTINGS))
LUCK = make_run(
    "luck-speed",
    LuckSpeed.model_validate(
        SETTINGS | {"training": SETTINGS["training"] | {"snapshots": []}}
        | {"measurements": 3, "first_step": 2, "levels": [0.9], "negligible": 0.1}
    ),
)  # fmt: skip


def pruning(criterion: str = "contribution", granularity: str = "nodes", rounds: int = 1) -> Run:
    how = {"granularity": granularity, "criterion": criterion, "kept": 1.0, "rounds": rounds}
    settings = Lottery(source="toy/base", pruning=how, branches=["rewound"], early_epoch=1)
    return make_run("lottery", settings, TRAINING)


def test_every_kind_that_trains_follows_its_schedule_epoch_by_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    by_epoch = [0.05] * 2 + [0.02] * 2 + [0.01] * 2  # two batches an epoch
    tensors = snapshots()
    for train, rounds in (
        (lambda: student_training.train(TRAINING, TEACHERS, DATA, SEEDS), 1),
        (lambda: luck_speed.train(LUCK, TEACHERS, DATA, SEEDS), 1),
        (lambda: lottery.retrain(pruning(), TEACHERS, DATA, tensors, SEEDS), 1),
        (lambda: lottery.retrain(pruning(rounds=2), TEACHERS, DATA, tensors, SEEDS), 2),
        (lambda: teacher_training.train(TRAINED_TEACHER, pictures_of_an_epoch()), 1),
    ):
        rates = Rates(monkeypatch)
        list(train())
        assert rates.taken == by_epoch * rounds


def pictures_of_an_epoch() -> Cifar10:
    """64 images in batches of 32."""
    noise = torch.randint(256, (64, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Cifar10(noise, torch.arange(64) % 10, noise, torch.arange(64) % 10, samples=64, augment=False, batch=32)


@SIMULATING
def test_simulations_have_the_rate_that_is_set(kind, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = Rates(monkeypatch)
    list(kind.simulate(simulated(kind), SEEDS))
    assert set(rates.taken) == {0.03}


@pytest.mark.parametrize("gradient", ["matrix", "accurate"])
def test_dynamics_have_the_gradient_that_is_set(gradient: str) -> None:
    plain = simulated(two_nodes)
    run = plain.model_copy(update={"settings": plain.settings.model_copy(update={"gradient": gradient})})
    teacher, students = two_nodes.draw(run, SEEDS)
    expected = Dynamics(students, teacher, frozen=[1], accurate=gradient == "accurate")
    x = torch.nn.functional.pad(fan_out.samples(SEEDS, 0, 2, 8, 4), (0, 1))
    expected.run(x, 0.03)
    _, state = (one for one, _ in zip(two_nodes.simulate(run, SEEDS), range(2), strict=False))
    torch.testing.assert_close(state.network()["layer.0"], expected.layers[0], rtol=1e-5, atol=1e-6)


# --- constants -------------------------------------------------------------------------------------------------------


def test_pixels_are_normalized_by_the_published_mean_and_deviation_of_their_channel() -> None:
    images = torch.randint(256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = normalize(images).T.view(5, 3, 32, 32).double()
    channels = zip((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010), strict=True)
    for channel, (mean, std) in enumerate(channels):
        expected = (images[:, channel].double() / 255 - mean) / std
        torch.testing.assert_close(found[:, channel], expected, rtol=0, atol=1e-5)


def test_images_are_cropped_after_four_pixels_of_zeros() -> None:
    image = torch.full((1, 3, 32, 32), 7, dtype=torch.uint8)
    found = crops(image)
    assert found.shape == (2, 9, 9, 3, 32, 32)
    assert torch.equal(found[0, 4, 4], image[0])
    assert (found[0, 0, 4, :, :4] == 0).all()
    assert (found[0, 0, 4, :, 4:] == 7).all()
    assert (found[0, 4, 8, :, :, -4:] == 0).all()


FULL = ({"inputs": (40,), "widths": [30, 5], "kernel": None}, [40, 30])
CONV = ({"inputs": (5, 6, 6), "widths": [3, 4, 5], "kernel": 3}, [45, 27, 4 * 2 * 2])
SHAPES = pytest.mark.parametrize(("shape", "fan_ins"), [FULL, CONV], ids=["fully-connected", "convolutional"])


@SHAPES
def test_students_start_within_one_over_the_root_of_the_fan_in(shape: dict, fan_ins: list[int]) -> None:
    students = initialize_students(**shape, seeds=range(200))
    for layers_ in (students.weights, students.biases):
        for tensor, fan_in in zip(layers_, fan_ins, strict=True):
            bound = fan_in**-0.5
            assert -bound <= tensor.min() <= tensor.max() <= bound * (1 + 1e-6)
            # 600 numbers at least: the chance that none lies in the outermost 6 % of one side, 3 % of all, is 1e-8.
            assert tensor.min() < -0.94 * bound
            assert tensor.max() > 0.94 * bound


@SHAPES
def test_biases_of_separated_teachers_are_at_most_half_before_normalization(shape: dict, fan_ins: list[int]) -> None:
    teachers = draw_teachers(**shape, init="separated", seeds=range(200))
    for weight, bias, fan_in in zip(teachers.weights, teachers.biases, fan_ins, strict=True):
        rows = weight.flatten(2).abs()
        unit = rows.where(rows > 0, torch.inf).amin(2, keepdim=True)
        if fan_in < 27:
            continue  # rows of fewer weights may have none of 1/4, of which the smallest is taken to be
        before = bias * 0.25 / unit
        assert before.abs().max() <= 0.5 * (1 + 1e-5)
        assert before.min() < -0.47
        assert before.max() > 0.47
        steps = (rows / unit).flatten()
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
        assert set(steps.round().tolist()) == {0, 1, 2}


@SHAPES
def test_unseparated_teachers_are_normalized_students_of_negative_seeds(shape: dict, fan_ins: list[int]) -> None:
    teachers = draw_teachers(**shape, init="no_sep", seeds=[0, 3])
    students = initialize_students(**shape, seeds=[-1, -4])
    for layer in range(len(fan_ins)):
        norm = students.weights[layer].flatten(2).norm(dim=2) + 1e-5
        expected = students.weights[layer].flatten(2) / norm[..., None]
        torch.testing.assert_close(teachers.weights[layer].flatten(2), expected)
        torch.testing.assert_close(teachers.biases[layer][..., 0], students.biases[layer][..., 0] / norm)


# --- images and their labels -----------------------------------------------------------------------------------------


def shades(x: Tensor) -> list[int]:
    """The shade of each sample, (n_in, N), by the published numbers of the first channel."""
    return ((x[0].double() * 0.2023 + 0.4914) * 255).round().long().tolist()


def test_every_image_keeps_its_label_and_comes_from_its_part() -> None:
    data = pictures()
    x, labels = data.evaluation_set(SEEDS, 30)
    found = shades(x[0])
    assert [label(shade) for shade in found] == labels.tolist()
    assert set(found) <= {*range(100, 150)}
    assert found != sorted(found)
    assert max(found) > 130  # not only the first ones
    seen = set()
    for samples, their in data.batches(SEEDS, 1):
        for seed in range(2):
            found = shades(samples[seed])
            assert [label(shade) for shade in found] == their[seed].tolist()
            seen |= set(found)
    assert seen <= {*range(60)}
    assert max(seen) > 40


def test_accuracy_and_loss_are_measured_on_test_images() -> None:
    """All test images are evaluated on, so that their order does not matter: the expected numbers draw nothing."""
    data = pictures()
    x = normalize(data.test_images)

    def expected(networks: Networks, place: int) -> tuple[float, float]:
        outputs = networks(x[None])[place].T
        right = (outputs.argmax(1) == data.test_labels).double().mean().item()
        return torch.nn.functional.cross_entropy(outputs, data.test_labels).item(), right

    history = next(teacher_training.train(TRAINED_TEACHER, data)).history()
    networks = teacher_training.untrained(TRAINED_TEACHER, range(2))
    settings = SETTINGS | {
        "teacher": {"name": "toy", "seed": 1}, "target": "labels",
        "data": {"kind": "cifar10", "samples_per_epoch": 40, "augment": False, "evaluation_samples": 50},
    }  # fmt: skip
    run = make_run("student-training", StudentTraining.model_validate(settings))
    run = run.model_copy(update={"teacher": TRAINED_TEACHER})
    students = initialize_students((3, 32, 32), [12, 9, 10], seeds=SEEDS)
    theirs = next(student_training.train(run, networks, data, SEEDS)).history()
    assert expected(students, 0)[1] != expected(networks, 1)[1]  # so that they can be told apart
    for place in range(2):
        for found, own in ((history, networks), (theirs, students)):
            loss, accuracy = expected(own, place)
            assert found["loss"][0, place].item() == pytest.approx(loss, rel=1e-5)
            assert found["accuracy"][0, place].item() == pytest.approx(accuracy)
    assert theirs["teacher_accuracy"][0].tolist() == pytest.approx([expected(networks, 1)[1]] * 2)


# --- which of two like objects ---------------------------------------------------------------------------------------


def snapshots() -> dict[str, Tensor]:
    """What a finished run leaves: students at epochs 0, 1 and 3 that have nothing to do with each other."""
    networks = {
        epoch: initialize_students((5,), [12, 9, 7], seeds=[100 * epoch + seed for seed in SEEDS])
        for epoch in (0, 1, EPOCHS)
    }
    return {f"snapshot/{e}/{name}": its for e, one in networks.items() for name, its in one.state().items()}


CRITERIA = {
    ("nodes", "magnitude"): lambda initial, final, x: criteria.node_magnitude(final),
    ("nodes", "contribution"): lambda initial, final, x: [
        above.norm(dim=1) * f.std(2, correction=0)
        for above, f in zip(final.weights[1:], final.activations(x), strict=False)
    ],
    ("nodes", "overlap"): lambda initial, final, x: criteria.node_overlap(TEACHERS.select(SEEDS), final, x),
    ("nodes", "initial-overlap"): lambda initial, final, x: criteria.node_overlap(TEACHERS.select(SEEDS), initial, x),
    ("nodes", "magnitude-overall"): lambda initial, final, x: criteria.node_magnitude(final),
    ("weights", "magnitude"): lambda initial, final, x: criteria.weight_magnitude(final),
    ("weights", "contribution"): lambda initial, final, x: criteria.weight_spread(final, x),
    ("weights", "magnitude-overall"): lambda initial, final, x: criteria.weight_magnitude(final),
}


@pytest.mark.parametrize(("granularity", "criterion"), CRITERIA)
def test_criteria_score_final_networks_or_initial_networks_if_so_named(
    granularity: str, criterion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Rates(monkeypatch)
    run, tensors = pruning(criterion, granularity), snapshots()
    *_, state = lottery.retrain(run, TEACHERS, DATA, tensors, SEEDS)
    found = lottery.finish(run, SEEDS, state).tensors
    initial, final = (snapshot(tensors, epoch) for epoch in (0, EPOCHS))
    x = torch.cat(list(DATA.blocks(SEEDS, -1)), 2)
    scores = CRITERIA[granularity, criterion](initial, final, x)
    counts = [4, 3] if granularity == "nodes" else [5 * 4, 4 * 3, 3 * 7]  # the teacher's
    expected = (keep_overall if criterion.endswith("overall") else keep_by_layer)(scores, counts)
    for layer, mask in enumerate(expected.layers):
        assert torch.equal(found[f"mask/{layer}"], mask)


def measuring(kind: str, model=GradientMeasurement, **settings: object) -> Run:
    return make_run(kind, model(source="toy/base", **settings), TRAINING)


def term(left: Tensor, weight: Tensor, moments: Tensor) -> Tensor:
    """H W L of a layer's nodes, without the constant one."""
    return (left @ weight @ moments)[:-1]


def cosine(one: Tensor, other: Tensor) -> float:
    return torch.cosine_similarity(one.flatten(), other.flatten(), dim=0).item()


def joint(networks: Networks, seed: int) -> list[Tensor]:
    """Weights and biases of one network, (n_out + 1, n_in + 1), the constant node last; none above the output."""
    found = [torch.cat([w[seed], b[seed]], 1) for w, b in zip(networks.weights, networks.biases, strict=True)]
    constant = [torch.eye(one.shape[1])[-1:].to(one.dtype) for one in found[:-1]]
    return [torch.cat(pair) for pair in zip(found, constant, strict=False)] + found[-1:]


def test_the_table_of_the_gradient_rule_names_each_form_correctly() -> None:
    """Both forms by loops over layers, the averaged gradient by autograd on the weights; epochs 0, 1 and 3."""
    tensors = snapshots()
    table = gradient_rule.measure(measuring("gradient-rule", samples=40), TEACHERS, DATA, tensors, SEEDS).table
    values = table.set_index(["quantity", "epoch", "layer", "seed"])["value"]
    x = DATA.evaluation_set(SEEDS, 40)[0].double()
    teachers = TEACHERS.select(SEEDS).to(torch.float64)
    for epoch in (0, 1, EPOCHS):
        students = snapshot(tensors, epoch).to(torch.float64)
        for place, seed in enumerate(SEEDS):
            own, its = joint(students, place), joint(teachers, place)
            f, gates = zip(*(passed(matrices, x[place]) for matrices in (own, its)), strict=True)
            true, target = (
                whole_gradient(own, x[place], f[1][-1], gain)
                for gain in (lambda y, its: -0.5 * (y - its).square(), torch.mul)
            )
            per_sample = h = [torch.eye(7, dtype=torch.float64)] * 2
            for layer in (1, 0):
                above, names_ = own[layer + 1].T, ("recursive_matrix_form", "matrix_form")
                pairs = [(gates[0][layer], gates[side][layer]) for side in (0, 1)]
                opened = [one[:, None] * other[None] for one, other in pairs]  # (n + 1, n + 1 or n° + 1, N)
                matrices = own[layer + 1], its[layer + 1]
                h = [above @ h[side] @ matrices[side] * opened[side].mean(2) for side in (0, 1)]
                if layer == 1:
                    betas = [(above @ per_sample[side] @ matrices[side])[..., None] for side in (0, 1)]
                else:
                    betas = [torch.einsum("ij,jkn,kl->iln", above, per_sample[side], matrices[side]) for side in (0, 1)]
                per_sample = [betas[side] * opened[side] for side in (0, 1)]
                moments = [f[0][layer] @ f[side][layer].T / 40 for side in (0, 1)]
                for name, forms in zip(names_, (h, [one.mean(2) for one in per_sample]), strict=True):
                    theirs = term(forms[1], its[layer], moments[1].T)
                    ours = term(forms[0], own[layer], moments[0].T)
                    found = values[f"{name}_cosine", epoch, layer, seed]
                    assert found == pytest.approx(cosine(theirs - ours, true[layer]))
                    ratio = (theirs - ours).norm() / true[layer].norm()
                    assert values[f"{name}_norm_ratio", epoch, layer, seed] == pytest.approx(ratio.item())
                    found = values[f"{name}_teacher_cosine", epoch, layer, seed]
                    assert found == pytest.approx(cosine(theirs, target[layer]))


def passed(matrices: list[Tensor], x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What each layer reads, the output last, (n + 1, N), and the gates of hidden layers."""
    f, gates = [torch.cat([x, torch.ones_like(x[:1])])], []
    for matrix in matrices[:-1]:
        f.append((matrix @ f[-1]).relu())
        gates.append((f[-1] > 0).to(x.dtype))
    return [*f, matrices[-1] @ f[-1]], gates


def whole_gradient(
    matrices: list[Tensor], x: Tensor, target: Tensor, gain: Callable[[Tensor, Tensor], Tensor]
) -> list[Tensor]:
    """The mean over samples of the gradient by each hidden layer's weights and biases."""
    leaves = [matrix.clone().requires_grad_() for matrix in matrices]
    found = torch.autograd.grad(gain(passed(leaves, x)[0][-1], target).sum() / x.shape[1], leaves[:-1])
    return [one[:-1] for one in found]


def test_modulation_pairs_each_epochs_students_by_final_matches() -> None:
    tensors, settings = snapshots(), measuring("modulation", samples=40)
    result = modulation.measure(settings, TEACHERS, DATA, tensors, SEEDS)
    values = result.table.set_index(["quantity", "epoch", "layer", "seed"])["value"]
    x, teachers = DATA.evaluation_set(SEEDS, 40)[0], TEACHERS.select(SEEDS)
    final = snapshot(tensors, EPOCHS)
    for layer in (0, 1):
        rho = correlation(teachers.activations(x)[layer], final.activations(x)[layer]).nan_to_num()
        for epoch in (0, EPOCHS):
            own, its = (layers(one, x)[layer] for one in (snapshot(tensors, epoch), teachers))
            maps = [one.output_map.expand(-1, 40, -1, -1) for one in (own, its)]
            opened = [one.gated_map for one in (own, its)]
            for name, (left, right) in {"beta_star": maps, "h_star": opened}.items():
                mean = torch.einsum("sncj,snck->sjk", left, right)[:, :-1, :-1] / 40
                for place, seed in enumerate(SEEDS):
                    matched = linear_sum_assignment(rho[place], maximize=True)[1]
                    used = (rho[place] != 0).any(1).numpy()
                    block = mean[place].numpy()[matched]
                    kept = result.tensors[f"{name}/{epoch}/{layer}"][place, : len(block)].numpy()
                    np.testing.assert_allclose(kept, block, rtol=1e-4, atol=1e-5)
                    size = np.abs(block.astype(float))
                    diagonal = np.diag(size)[used].mean()
                    others = size[used][:, used][~np.eye(used.sum(), dtype=bool)].mean()
                    assert values[f"{name}_dominance", epoch, layer, seed] == pytest.approx(diagonal / others, rel=1e-3)
                    column = np.abs(mean[place].numpy().astype(float)).sum(0)
                    share = (np.diag(size)[used] / column[used]).mean()
                    if np.isfinite(share):
                        assert values[f"{name}_share", epoch, layer, seed] == pytest.approx(share, rel=1e-3)


def test_profiles_are_of_the_first_and_the_last_epoch() -> None:
    tensors, run = snapshots(), measuring("rank-profile", RankProfile, students=5)
    table = rank_profile.measure(run, TEACHERS, DATA, tensors, SEEDS).table
    values = table.set_index(["epoch", "layer", "seed", "node", "rank"])["value"].sort_index()
    x, teachers = DATA.evaluation_set(SEEDS, 128)[0], TEACHERS.select(SEEDS)
    for epoch in (0, EPOCHS):
        students = snapshot(tensors, epoch)
        for layer in (0, 1):
            rho = correlation(teachers.activations(x)[layer], students.activations(x)[layer])
            for place, seed in enumerate(SEEDS):
                for node in rho[place].any(1).nonzero().flatten().tolist():
                    expected = rho[place, node].sort(descending=True).values[:5].tolist()
                    assert values[epoch, layer, seed, node].tolist() == pytest.approx(expected, abs=1e-6)


def test_each_number_of_the_table_is_the_quantity_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Rates(monkeypatch)
    teachers = TEACHERS.select(range(5))
    teachers.biases[0][0, 3] = -1e6  # a dead teacher node of the first seed, and two dead students of the second
    first = next(student_training.train(TRAINING, teachers, DATA, SEEDS))
    first.tensors["network/layer.0.bias"][1, :2] = -1e6
    *_, state = student_training.train(TRAINING, teachers, DATA, SEEDS, resume=first)
    table = student_training.finish(TRAINING, SEEDS, state).table
    values = table.set_index(["quantity", "epoch", "layer", "seed"])["value"].sort_index()
    assert [values["dead_teachers", EPOCHS, 0, seed] for seed in SEEDS] == [1, 0]
    assert [values["dead_students", EPOCHS, 0, seed] for seed in SEEDS] == [0, 2]
    x, students = DATA.evaluation_set(SEEDS, 128)[0], Networks.from_state(state.network())
    rho = correlation(teachers.select(SEEDS).activations(x)[1], students.activations(x)[1])
    for place, seed in enumerate(SEEDS):
        live = rho[place].any(1)
        first, second = rho[place, live].sort(dim=1, descending=True).values.mean(0)[:2].tolist()
        assert values["correlation", EPOCHS, 1, seed] == pytest.approx(first, abs=1e-6)
        assert values["second_correlation", EPOCHS, 1, seed] == pytest.approx(second, abs=1e-6)


def test_standing_students_have_the_first_level_and_a_contribution_at_that_moment() -> None:
    settings = LUCK.settings.model_copy(update={"levels": [0.6, 0.9], "negligible": 0.5})
    run = LUCK.model_copy(update={"settings": settings})
    *_, state = luck_speed.train(run, TEACHERS, DATA, SEEDS)
    result = luck_speed.finish(run, SEEDS, state)
    values = result.table.set_index(["quantity", "epoch", "layer", "seed"])["value"].sort_index()
    x, students, teachers = DATA.evaluation_set(SEEDS, 128)[0], Networks.from_state(state.network()), TEACHERS
    for layer in (0, 1):
        ours = students.activations(x)[layer]
        rho = correlation(teachers.select(SEEDS).activations(x)[layer], ours)
        contribution = ours.std(2, correction=0) * students.weights[layer + 1].norm(dim=1)
        for place, seed in enumerate(SEEDS):
            above = rho[place] > 0.6
            stands = above & (contribution[place] >= 0.5 * contribution[place].max())
            reached = above.any(1)
            found = stands.any(1)[rho[place].any(1)].double().mean().item()  # of teacher nodes that are not dead
            assert values["found", EPOCHS, layer, seed].item() == pytest.approx(found)
            for name, which in {"passed": above, "standing": stands}.items():
                expected = which.sum(1)[reached].double().mean().item()
                assert values[name, EPOCHS, layer, seed].item() == pytest.approx(expected, nan_ok=True)
            best = result.tensors[f"teacher/{layer}"][place]
            live = rho[place].any(1)
            assert torch.equal(best, rho[place].masked_fill(~live[:, None], -torch.inf).argmax(0))


def test_decision_lines_use_separated_teachers() -> None:
    run = simulated(decision_lines)
    *_, state = decision_lines.simulate(run, SEEDS)
    tensors = decision_lines.finish(run, SEEDS, state).tensors
    teachers = draw_teachers((2,), [2, 3], init="separated", seeds=SEEDS)
    assert torch.equal(tensors["teacher_lines"], torch.cat([teachers.weights[0], teachers.biases[0]], 2))
    torch.testing.assert_close(tensors["teacher_fan_out"], teachers.weights[1].norm(dim=1))
