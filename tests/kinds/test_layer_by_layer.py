"""Students trained layer by layer from below: stages, budgets, steps against an oracle, resuming, settings."""

import itertools
from collections import Counter
from functools import cache

import pandas as pd
import pytest
import torch
from oracle import Module, assert_same, sgd
from pydantic import ValidationError

from luckmatters.kinds.layer_by_layer import run as kind
from luckmatters.kinds.layer_by_layer.run import SAFETY, Learner, best_readout, finish, train
from luckmatters.kinds.layer_by_layer.settings import KIND, LayerByLayer
from luckmatters.kinds.layer_by_layer.stages import Stage, Way, stages
from luckmatters.kinds.student_training import run as student_training
from luckmatters.learning.evaluation import Evaluation
from luckmatters.learning.students import batches, initial_students
from luckmatters.science.data import Gaus
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.readout import largest_stable_rate
from luckmatters.science.teachers import draw_teachers
from luckmatters.science.training import Trainer
from luckmatters.settings.experiment import Run
from luckmatters.settings.students import StudentTraining
from luckmatters.settings.teachers import Teacher
from luckmatters.tables.files import under
from luckmatters.tables.history import TrainingState

SEEDS, EPOCHS, RATE = [0, 2], 5, 0.02
WAYS: tuple[Way, ...] = ("end-to-end", "local-readout", "reconstruction", "random")
TEACHER = {"inputs": 5, "widths": [4, 6], "outputs": 7, "init": "separated", "count": 4}
TEACHERS = draw_teachers((5,), [4, 6, 7], init="separated", seeds=range(4))
DATA = Gaus(dimension=5, std=3.0, samples=176, infinite=True, batch=32)  # six steps an epoch, the last on 16 samples


def settings(**changes: object) -> dict:
    return {
        "teacher": {"name": "toy", "seed": "own"},
        "student": {"multiplier": 2, "batch_norm": False},
        "data": {"kind": "gaus", "std": 3.0, "samples_per_epoch": 176, "infinite": True, "evaluation_samples": 256},
        "training": {
            "epochs": EPOCHS, "batch": 32, "learning_rate": [{"epoch": 0, "rate": RATE}], "snapshots": [],
        },
        "seeds": SEEDS,
        **changes,
    }  # fmt: skip


def make_run(name: str = "layer-by-layer", **changes: object) -> Run:
    model = {"layer-by-layer": LayerByLayer, "student-training": StudentTraining}[name]
    ways = {"ways": list(WAYS)} if name == "layer-by-layer" else {}
    return Run.model_validate(
        {"experiment": "toy", "variant": "base", "scale": "ci", "kind": name, "labels": {},
         "settings": model.model_validate(settings(**ways | changes)), "teacher": TEACHER, "seeds": SEEDS}
    )  # fmt: skip


def run_to_end(run: Run, seeds: list[int] = SEEDS) -> tuple[list[TrainingState], pd.DataFrame]:
    states = list(train(run, TEACHERS, DATA, seeds))
    return states, finish(run, seeds, states[-1]).table


@cache
def finished() -> tuple[list[TrainingState], pd.DataFrame]:
    """An undisturbed run, not to be changed."""
    return run_to_end(make_run())


def students_of(state: TrainingState, way: Way) -> Networks:
    network = under(state.network(), way)
    return Networks.from_state({name: value for name, value in network.items() if not name.startswith("local/")})


def test_stages_of_a_network_with_two_hidden_layers() -> None:
    assert stages("end-to-end", 2, 5) == [Stage(0, 5, 0, 2)]
    assert stages("random", 2, 5) == [Stage(0, 5, 2, 2)]
    lowest, readout = Stage(0, 1, 0, 0), Stage(3, 5, 2, 2)
    assert stages("local-readout", 2, 5) == [lowest, Stage(1, 3, 1, 2), readout]
    assert stages("reconstruction", 2, 5) == [Stage(0, 1, 0, 0, "inputs"), Stage(1, 3, 1, 1, "inputs"), readout]


@pytest.mark.parametrize("way", WAYS)
def test_the_stages_of_every_way_share_all_epochs_as_equally_as_can_be(way: Way) -> None:
    for depth, epochs in itertools.product(range(1, 6), range(6, 23)):
        plan = stages(way, depth, epochs)
        assert [epoch for stage in plan for epoch in range(stage.begin, stage.end)] == list(range(epochs))
        lengths = [stage.end - stage.begin for stage in plan]
        assert max(lengths) - min(lengths) <= 1
        assert plan[-1].last == depth
        if way in ("local-readout", "reconstruction"):
            assert [stage.first for stage in plan] == list(range(depth + 1))


def test_every_way_takes_as_many_steps_on_as_many_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, samples = Counter(), Counter()

    class Counted(Trainer):
        def step(self, x: torch.Tensor, target: torch.Tensor, lr: float) -> None:
            plan = tuple(self.loss.__self__.plan)
            steps[plan] += 1
            samples[plan] += x.shape[2]
            super().step(x, target, lr)

    monkeypatch.setattr(kind, "Trainer", Counted)
    run_to_end(make_run())
    plans = [tuple(stages(way, 2, EPOCHS)) for way in WAYS]
    assert [steps[plan] for plan in plans] == [EPOCHS * 6] * 4
    assert [samples[plan] for plan in plans] == [EPOCHS * 176] * 4


def test_end_to_end_is_student_training_to_the_last_bit() -> None:
    _, table = finished()
    ours = table[(table["branch"] == "end-to-end") & (table["quantity"] != "readout_loss")].drop(columns="branch")
    plain = make_run("student-training")
    *_, state = student_training.train(plain, TEACHERS, DATA, SEEDS)
    expected = student_training.finish(plain, SEEDS, state).table
    pd.testing.assert_frame_equal(ours.reset_index(drop=True), expected)


def own_readout(way: Way, layer: int) -> Networks:
    """The readout that a hidden layer has of its own, before training."""
    read, inputs = [8, 12][layer], [5, 8][layer]
    outputs, learns = (inputs, "inputs") if way == "reconstruction" else (7, "outputs")
    head = initialize_students((read,), [outputs], seeds=SEEDS, purpose=f"{learns}-of-layer-{layer}")
    return head.to(torch.float64)


@pytest.mark.parametrize("way", WAYS[1:])
def test_layers_from_below_equal_those_of_torchs_modules_trained_one_by_one(way: Way) -> None:
    """A seed after the other, in float64, with the samples of each epoch."""
    run = make_run()
    found = students_of(finished()[0][-1], way)
    teachers = TEACHERS.select(SEEDS)
    epochs = [list(batches(teachers, DATA, SEEDS, epoch, on_labels=False)) for epoch in range(EPOCHS)]
    initial = initial_students(run, SEEDS, "cpu").to(torch.float64)
    plan = {"random": [(2, 0, 5)]}.get(way, [(0, 0, 1), (1, 1, 3), (2, 3, 5)])
    for seed in range(2):
        whole = Module(initial, seed)

        def below(x: torch.Tensor, layer: int) -> torch.Tensor:
            with torch.no_grad():
                return whole.activations(x[seed].double().T)[layer - 1].T if layer else x[seed].double()  # noqa: B023

        for layer, begin, end in plan:
            own_top = layer == 2 or (layer == 1 and way == "local-readout")
            linears = list(whole.linears[layer:]) if own_top else [
                whole.linears[layer], Module(own_readout(way, layer), seed).linears[0]
            ]  # fmt: skip
            part = Module(Networks([], [], []), seed)
            part.linears.extend(linears)
            outputs = linears[-1].out_features
            x = below(torch.cat([x for x, _ in epochs[begin]], 2), layer)
            features = x if layer == 2 else (linears[0].weight @ x + linears[0].bias[:, None]).relu().detach()
            rate = min(RATE * outputs / 7, SAFETY * float(largest_stable_rate(features[None], outputs)))
            reads = [(below(x, layer), y[seed].double()) for epoch in epochs[begin:end] for x, y in epoch]
            wanted = [(x, x if layer < 2 and way == "reconstruction" else y) for x, y in reads]
            sgd(part, wanted, rate)
        assert_same(whole, found.to(torch.float64), seed, rtol=1e-3, atol=2e-5)
    moved = [not torch.equal(a, b) for a, b in zip(found.weights, initial.to(torch.float32).weights, strict=True)]
    assert moved == [way != "random", way != "random", True]


def test_rates_from_below_are_lowered_to_a_share_of_the_stable_one_seed_by_seed() -> None:
    """Only where the run's rate is higher; the first seed's samples are a hundred times as long."""
    run = make_run()
    learner = Learner("random", initial_students(run, SEEDS, "cpu"), SEEDS, EPOCHS)
    x = torch.randn(2, 5, 300, generator=torch.Generator().manual_seed(0)) * torch.tensor([100, 1])[:, None, None]
    learner.enter(0, x, RATE, {})
    stable = largest_stable_rate(learner.networks.activations(x)[-2], 7)
    assert stable[0] * SAFETY < RATE < stable[1] * SAFETY
    expected = torch.tensor([stable[0] * SAFETY / RATE, 1])
    torch.testing.assert_close(learner.scale.flatten(), expected.float())


def test_a_copy_of_the_teacher_has_a_perfect_readout() -> None:
    run = make_run()
    evaluation = Evaluation.of(run, TEACHERS, DATA, SEEDS)
    copy, others = TEACHERS.select(SEEDS), initial_students(run, SEEDS, "cpu")
    copy.weights[-1].zero_()
    losses = []
    for networks in (copy, others):
        learner = Learner("random", networks, SEEDS, EPOCHS)
        learner.enter(EPOCHS - 1, torch.empty(0), RATE, {"scale": torch.ones(2, 1, 1)})
        losses.append(best_readout(learner, evaluation, DATA))
    assert (losses[0] < 1e-9).all()
    assert (losses[1] > 1e-3).all()


def test_the_best_readout_is_no_worse_than_the_trained_one_and_stands_at_the_last_epoch() -> None:
    _, table = finished()
    best = table[table["quantity"] == "readout_loss"].set_index(["branch", "seed"])
    assert len(best) == len(WAYS) * len(SEEDS)
    assert (best["epoch"] == EPOCHS).all()
    trained = table[(table["quantity"] == "loss") & (table["epoch"] == EPOCHS)].set_index(["branch", "seed"])["value"]
    assert (best["value"] < trained).all()


def test_an_unfinished_run_has_the_same_table_but_for_what_the_end_decides() -> None:
    run, (states, whole) = make_run(), finished()
    early, patterns = finish(run, SEEDS, states[2]).table, KIND.hindsight
    assert set(whole["quantity"]) - set(early["quantity"]) == {"readout_loss"}

    def known(table: pd.DataFrame) -> pd.DataFrame:
        return table[(table["epoch"] <= 2) & ~table["quantity"].isin(patterns)].reset_index(drop=True)

    pd.testing.assert_frame_equal(known(early), known(whole))


@pytest.mark.parametrize("after", range(EPOCHS + 1))
def test_resuming_gives_the_numbers_of_an_uninterrupted_run(after: int) -> None:
    run, (states, expected) = make_run(), finished()
    rest = list(train(run, TEACHERS, DATA, SEEDS, resume=states[after]))
    assert len(rest) == EPOCHS - after
    state = [*states[: after + 1], *rest][-1]
    torch.testing.assert_close(state.tensors, states[-1].tensors, rtol=0, atol=0, equal_nan=True)
    pd.testing.assert_frame_equal(finish(run, SEEDS, state).table, expected)


def test_a_seed_alone_gives_the_same_table() -> None:
    (_, together), (_, alone) = finished(), run_to_end(make_run(), [2])
    together = together[together["seed"] == 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(together, alone, rtol=1e-4, atol=1e-6)


def test_a_diverged_seed_is_recorded_and_the_other_seed_is_unchanged() -> None:
    run, (states, expected) = make_run(), finished()
    first = TrainingState(0, {name: tensor.clone() for name, tensor in states[0].tensors.items()})
    for way in WAYS:
        first.tensors[f"network/{way}/layer.0.weight"][1] = torch.nan
    *_, state = train(run, TEACHERS, DATA, SEEDS, resume=first)
    table = finish(run, SEEDS, state).table
    known = table["seed"] == SEEDS[0]
    pd.testing.assert_frame_equal(table[known], expected[known])
    ends = table[~known & (table["epoch"] == EPOCHS)].set_index(["branch", "quantity"])["value"]
    for way in WAYS:
        assert ends[way, "diverged"].item() == 1
        assert pd.isna(ends[way, "readout_loss"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"student": {"multiplier": 2, "batch_norm": True}}, "set student.batch_norm to false"),
        ({"ways": ["random", "random"]}, "the same one twice"),
        ({"ways": ["top-down"]}, "'end-to-end'"),
        ({"training": settings()["training"] | {"snapshots": [1]}}, r"set it to \[\]"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        make_run(**changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"widths": [4] * 5}, "raise training.epochs from 5 to 6"), ({"inputs": [1, 9, 9], "kernel": 3}, "convolutions")],
)
def test_teachers_that_do_not_fit_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_run().settings.check_teacher(Teacher.model_validate(TEACHER | changes))
