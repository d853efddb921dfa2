"""The experiment: history, table, ranks, divergence, resuming."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from oracle import Module, correlation, sgd

from luckmatters.kinds.rank_profile.run import measure
from luckmatters.kinds.rank_profile.settings import RankProfile
from luckmatters.kinds.student_training.run import finish, train
from luckmatters.learning.curves import keeps
from luckmatters.learning.data import select_teachers
from luckmatters.learning.evaluation import overlaps
from luckmatters.learning.shapes import start
from luckmatters.learning.students import batches, initial_students, snapshot
from luckmatters.science.data import Gaus
from luckmatters.science.networks import initialize_students
from luckmatters.science.teachers import draw_teachers
from luckmatters.settings.experiment import Run, config_hash
from luckmatters.settings.students import StudentTraining
from luckmatters.tables.history import TrainingState

SEEDS = [0, 2]
UNIFORM = {"norm_scale": "uniform"}


def make_run(**changes: object) -> Run:
    settings = {
        "teacher": {"name": "toy", "seed": changes.pop("teacher_seed", "own")},
        "student": {"multiplier": 3, "batch_norm": changes.pop("batch_norm", False)}
        | {key: changes.pop(key) for key in ("norm_scale", "starts") if key in changes},
        "data": {
            "kind": "gaus", "std": 10.0, "samples_per_epoch": 320, "infinite": True, "evaluation_samples": 256,
        },
        "training": {
            "epochs": 3, "batch": 32, "learning_rate": [{"epoch": 0, "rate": 0.05}], "snapshots": [2], **changes,
        },
        "seeds": SEEDS,
    }  # fmt: skip
    teacher = {"inputs": 5, "widths": [4, 6], "outputs": 7, "init": "separated", "count": 4}
    return Run.model_validate(
        {"experiment": "toy", "variant": "base", "scale": "ci", "kind": "student-training", "labels": {},
         "settings": StudentTraining.model_validate(settings), "teacher": teacher, "seeds": SEEDS}
    )  # fmt: skip


TEACHERS = draw_teachers((5,), [4, 6, 7], init="separated", seeds=range(4))
DATA = Gaus(dimension=5, std=10.0, samples=320, infinite=True, batch=32)


def run_to_end(run: Run, seeds: list[int] = SEEDS):
    states = list(train(run, TEACHERS, DATA, seeds))
    return states, finish(run, seeds, states[-1])


def test_table_holds_every_quantity_once() -> None:
    states, result = run_to_end(make_run())
    assert [state.epoch for state in states] == [0, 1, 2, 3]
    keys = ["seed", "epoch", "layer", "quantity"]
    assert not result.table.duplicated(keys).any()
    # 4 epochs, 2 seeds: loss, training_loss and diverged, and 14 quantities for each of two layers; floors but once.
    assert len(result.table) == 4 * 2 * (3 + 14 * 2) + 2 * 2 * 2
    missing = result.table[result.table["value"].isna()]
    assert set(zip(missing["quantity"], missing["epoch"], strict=True)) == {("training_loss", 0)}


class Measured:
    """One student, one teacher, one layer after another, as modules and numpy have it, in float64.

    x: samples (n, N); batch_statistics: whether the student's BatchNorm goes by them.
    """

    def __init__(self, teacher: Module, student: Module, x: torch.Tensor, *, batch_statistics: bool = False) -> None:
        with torch.no_grad():
            its, ours = teacher.eval().activations(x.T), student.train(batch_statistics).activations(x.T)
        self.its, self.ours = ([layer.numpy().T for layer in layers[:-1]] for layers in (its, ours))
        self.loss = float(((ours[-1] - its[-1]) ** 2).mean())
        self.live = [layer.std(1) > 1e-9 for layer in self.its]
        self.alive = [layer.std(1) > 1e-9 for layer in self.ours]
        self.rho = [self._correlation(*pair) for pair in zip(self.its, self.ours, strict=True)]
        self.weights = [[linear.weight.detach().numpy() for linear in one.linears] for one in (teacher, student)]

    @staticmethod
    def _correlation(its: np.ndarray, ours: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(np.corrcoef(its, ours)[: len(its), len(its) :], nan=0.0)

    def floor(self, layer: int) -> np.ndarray:
        rho = self._correlation(self.its[layer], self.its[layer])
        return np.array([max(rho[j, k] for k in range(len(rho)) if k != j) for j in range(len(rho))])

    def closest(self, layer: int) -> list[int | None]:
        rho, live = self.rho[layer], np.flatnonzero(self.live[layer])
        alive = self.alive[layer]
        return [int(live[rho[live, i].argmax()]) if alive[i] else None for i in range(len(alive))]

    def cosine(self, layer: int) -> float | None:
        """None if two students are equally good, as those are that fire on the same single sample."""
        first, second = np.sort(self.rho[layer][self.live[layer]], axis=1)[:, :-3:-1].T
        if (first - second < 1e-5).any():
            return None
        cosines = []
        for j in np.flatnonzero(self.live[layer]):
            wanted, had = (weights[layer] for weights in self.weights)
            wanted, had = wanted[j], had[self.rho[layer][j].argmax()]
            if layer:
                read = np.zeros(len(wanted))
                for i, k in enumerate(self.closest(layer - 1)):
                    if k is not None:
                        slope = self.ours[layer - 1][i].std() / self.its[layer - 1][k].std()
                        read[k] += had[i] * max(self.rho[layer - 1][k, i], 0) * slope
                had, wanted = read, wanted * self.live[layer - 1]
            cosines.append(had @ wanted / np.linalg.norm(had) / np.linalg.norm(wanted))
        return float(np.mean(cosines))


@pytest.mark.parametrize("teacher_seed", ["own", 1])
@pytest.mark.parametrize("batch_norm", [False, True], ids=["no-bn", "bn"])
def test_every_quantity_equals_a_naive_computation_from_snapshots(batch_norm: bool, teacher_seed: object) -> None:
    """Teachers 0 and 1 are neighbours, and so are 2 and 3; teacher 0 has dead nodes, teacher 1 none."""
    run = make_run(batch_norm=batch_norm, snapshots=[0, 1, 2, 3], teacher_seed=teacher_seed)
    _, result = run_to_end(run)
    x = DATA.evaluation_set(SEEDS, 256)[0].double()
    values = result.table.set_index(["quantity", "seed", "epoch", "layer"])["value"].sort_index()
    dead = compared = 0
    for position, seed in enumerate(SEEDS):
        chosen = seed if teacher_seed == "own" else teacher_seed

        def measured(epoch: int, number: int, few: bool) -> Measured:
            students = snapshot(result.tensors, epoch).to(torch.float64)
            samples = x[position, :, :192] if few else x[position]  # noqa: B023
            norms = batch_norm and epoch == 0 and not few
            teacher = Module(TEACHERS.to(torch.float64), number)
            return Measured(teacher, Module(students, position), samples, batch_statistics=norms)  # noqa: B023

        full, few, other, few_other = (
            [measured(epoch, number, samples) for epoch in range(4)]
            for number, samples in ((chosen, False), (chosen, True), (chosen ^ 1, False), (chosen ^ 1, True))
        )
        for layer, epoch in itertools.product((0, 1), range(4)):
            now, live = full[epoch], full[epoch].live[layer]
            dead += (~live).sum()
            ordered = np.sort(now.rho[layer][live], axis=1)
            closest, first = now.closest(layer), full[0].closest(layer)
            pairs = [pair for pair in zip(closest, first, strict=True) if None not in pair]
            shares = [np.bincount(one, minlength=len(live)) / len(pairs) for one in zip(*pairs, strict=True)]
            expected = {
                "correlation": ordered[:, -1].mean(),
                "second_correlation": ordered[:, -2].mean(),
                "correlation_192": few[epoch].rho[layer].max(1).mean(),
                "control": other[epoch].rho[layer][other[epoch].live[layer]].max(1).mean(),
                "control_192": few_other[epoch].rho[layer].max(1).mean(),
                "weight_cosine": now.cosine(layer),
                "control_weight_cosine": other[epoch].cosine(layer),
                "keeps_teacher": np.mean([a == b for a, b in pairs]),
                "keeps_teacher_chance": (shares[0] * shares[1]).sum(),
                "dead_teachers": (~live).sum(),
                "dead_students": (~now.alive[layer]).sum(),
            }
            if epoch == 0:
                expected |= {"floor": now.floor(layer)[live].mean(), "floor_192": few[0].floor(layer).mean()}
            ranks = {}
            for name, series in (("full", full), ("few", few)):
                rho, winner = series[epoch].rho[layer], series[3].rho[layer].argmax(1)
                ranks[name] = (rho > rho[np.arange(len(rho)), winner][:, None]).mean(1)
            expected |= {
                "mean_rank": ranks["full"][live].mean(),
                "median_rank": np.median(ranks["full"][live]),
                "mean_rank_192": ranks["few"].mean(),
            }
            for quantity, value in expected.items():
                compared += value is not None
                found = values[quantity, seed, epoch, layer]
                assert value is None or found == pytest.approx(value, abs=2e-5), (quantity, seed, epoch, layer)
        for epoch in range(4):
            found = values["loss", seed, epoch].item()
            assert found == pytest.approx(full[epoch].loss, rel=1e-4)
    assert compared >= 0.99 * (2 * 4 * 2 * 14 + 2 * 2 * 2)
    assert (dead > 0) == (teacher_seed == "own")
    assert (values.loc["mean_rank", :, 3] == 0).all()  # the winner is first at the end


def test_training_loss_is_the_mean_over_an_epochs_samples_before_each_step() -> None:
    """The last batch has 24 of 344 samples."""
    run, data = make_run(batch_norm=True, epochs=2), Gaus(dimension=5, std=10.0, samples=344, infinite=True, batch=32)
    *_, state = train(run, TEACHERS, data, SEEDS)
    values = finish(run, SEEDS, state).table.query("quantity == 'training_loss'").set_index(["seed", "epoch"])["value"]
    teachers = select_teachers(run, TEACHERS, SEEDS)
    for position, seed in enumerate(SEEDS):
        module = Module(initial_students(run, SEEDS, "cpu").to(torch.float64), position)
        for epoch in range(2):
            losses = []
            for x, target in batches(teachers, data, SEEDS, epoch, on_labels=False):
                x, target = x[position].double(), target[position].double()
                with torch.no_grad():
                    outputs = module.train()(x.T)
                losses += (outputs - target.T).square().mean(1).tolist()
                sgd(module, [(x, target)], 0.05)
            assert len(losses) == 344
            assert values[seed, epoch + 1] == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("alive", [True, False])
def test_shares_of_kept_teachers_equal_counts_by_hand(alive: bool) -> None:
    """Three students of four stay with node 0, 1, 1; a dead one counts neither before nor after it dies."""
    closest = torch.tensor([[[0, 1, 1, 0 if alive else -1]], [[0, 1, 1, 1]], [[1, 1, 1, -1]]], dtype=torch.int16)
    found = keeps(closest, 3)
    kept, chance = (found[name][:, 0].tolist() for name in ("keeps_teacher", "keeps_teacher_chance"))
    assert kept == pytest.approx([1, 3 / 4 if alive else 1, 2 / 3])
    expected = [1 / 2, 1 / 2 * 1 / 4 + 1 / 2 * 3 / 4, 2 / 3] if alive else [5 / 9, 5 / 9, 2 / 3]
    assert chance == pytest.approx(expected)
    assert keeps(torch.full((1, 1, 2), -1, dtype=torch.int16), 3)["keeps_teacher"].isnan().all()


def test_uniform_scales_change_only_scales_and_need_batch_norm() -> None:
    plain, drawn = (initial_students(make_run(batch_norm=True, **more), SEEDS, "cpu") for more in ({}, UNIFORM))
    changed = [
        name
        for (name, a), (_, b) in zip(plain.named_tensors(), drawn.named_tensors(), strict=True)
        if not torch.equal(a, b)
    ]
    assert changed == ["norm.0.weight", "norm.1.weight"]
    assert config_hash(make_run(batch_norm=True)) == config_hash(make_run(batch_norm=True, norm_scale=None))
    assert config_hash(make_run(batch_norm=True)) != config_hash(make_run(batch_norm=True, **UNIFORM))
    with pytest.raises(ValueError, match="norm_scale uniform is of BatchNorm, which needs batch_norm: true"):
        make_run(batch_norm=False, **UNIFORM)


def test_students_of_a_start_share_initial_weights_and_nothing_else() -> None:
    own, shared = make_run(), make_run(starts=2)  # both seeds, 0 and 2, start from the weights of seed 0
    first, both = (initial_students(run, SEEDS, "cpu") for run in (own, shared))
    for alone, together in zip(first.weights + first.biases, both.weights + both.biases, strict=True):
        assert torch.equal(together, alone[[0, 0]])
    x, _ = DATA.evaluation_set(SEEDS, 256)
    assert not torch.equal(*x)
    assert [start(shared, seed) for seed in (0, 1, 2, 5)] == [0, 1, 0, 1]
    assert [start(own, seed) for seed in SEEDS] == SEEDS
    table = (
        run_to_end(make_run(starts=2, teacher_seed=1))[1]
        .table.query("quantity == 'loss'")
        .pivot_table(index="epoch", columns="seed", values="value")
    )
    assert abs(table[0][0] / table[2][0] - 1) < abs(table[0][3] / table[2][3] - 1)
    assert config_hash(own) == config_hash(make_run(starts=None)) != config_hash(shared)


@pytest.mark.parametrize("after", [None, 1])
def test_weights_that_are_kept_normalized_have_norm_one_after_every_epoch(after: int | None) -> None:
    run = make_run(normalize="fan-in")
    states = list(train(run, TEACHERS, DATA, SEEDS))
    if after is not None:
        states[after + 1 :] = train(run, TEACHERS, DATA, SEEDS, resume=states[after])
    for state in states[1:]:
        for name, tensor in state.network().items():
            if name.endswith("weight"):
                norm = tensor.norm(dim=2)
                torch.testing.assert_close(norm, torch.ones_like(norm), rtol=0, atol=1e-4)
    assert config_hash(make_run()) == config_hash(make_run(normalize=None)) != config_hash(run)


def test_loss_is_the_mean_over_samples_and_outputs() -> None:
    run = make_run()
    _, result = run_to_end(run)
    x, _ = DATA.evaluation_set(SEEDS, 256)
    difference = snapshot(result.tensors, 3)(x) - select_teachers(run, TEACHERS, SEEDS)(x)
    losses = result.table.query("quantity == 'loss' and epoch == 3")["value"].tolist()
    assert losses == pytest.approx([float((one**2).mean()) for one in difference])


@pytest.mark.parametrize("teacher_seed", ["own", 1])
def test_a_seed_alone_gives_the_same_table(teacher_seed: object) -> None:
    run = make_run(teacher_seed=teacher_seed)
    together, alone = (run_to_end(run, seeds)[1].table for seeds in ([0, 2], [2]))
    together = together[together["seed"] == 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(together, alone, rtol=1e-4, atol=1e-6)


def test_students_share_a_teacher_or_have_their_own() -> None:
    assert select_teachers(make_run(teacher_seed=1), TEACHERS, SEEDS).seeds == 1
    own = select_teachers(make_run(), TEACHERS, SEEDS)
    assert torch.equal(own.weights[0], TEACHERS.weights[0][SEEDS])


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_resuming_gives_the_numbers_of_an_uninterrupted_run(after: int) -> None:
    run = make_run(batch_norm=True)
    states, expected = run_to_end(run)
    rest = list(train(run, TEACHERS, DATA, SEEDS, resume=states[after]))
    assert len(rest) == 3 - after
    result = finish(run, SEEDS, [*states[: after + 1], *rest][-1])
    pd.testing.assert_frame_equal(result.table, expected.table)
    torch.testing.assert_close(result.tensors, expected.tensors, rtol=0, atol=0, equal_nan=True)


def test_initial_final_and_chosen_snapshots_are_kept() -> None:
    _, result = run_to_end(make_run())
    assert {name.split("/")[1] for name in result.tensors if name.startswith("snapshot/")} == {"0", "2", "3"}
    with pytest.raises(KeyError):
        snapshot(result.tensors, 1)


def test_a_diverged_seed_is_recorded_and_the_other_seed_is_unchanged() -> None:
    run = make_run()
    states = train(run, TEACHERS, DATA, SEEDS)
    first = next(states)
    first.tensors["network/layer.0.weight"][1] = torch.nan
    table = finish(run, SEEDS, list(train(run, TEACHERS, DATA, SEEDS, resume=first))[-1]).table
    values = table.set_index(["quantity", "seed", "epoch"])["value"].sort_index()
    assert values["diverged", 2].tolist() == [0, 1, 1, 1]
    assert values["diverged", 0].tolist() == [0, 0, 0, 0]
    assert values["correlation", 2, 0].notna().all()
    assert values.loc["correlation", 2, 1:3].isna().all()
    assert values.loc["mean_rank", 2].isna().all()  # there is no best student at the end
    expected = run_to_end(run)[1].table
    same = table["seed"] == 0
    pd.testing.assert_frame_equal(table[same], expected[same])


def test_parameters_that_overflow_count_as_diverged_even_if_the_loss_does_not() -> None:
    run = make_run()
    state = next(train(run, TEACHERS, DATA, SEEDS))
    first = dict(state.tensors)
    first["network/layer.0.bias"] = first["network/layer.0.bias"].clone()
    first["network/layer.0.bias"][0, 0] = -torch.inf  # that node is dead, the output finite
    resumed = list(train(run, TEACHERS, DATA, SEEDS, resume=TrainingState(0, first)))
    diverged = finish(run, SEEDS, resumed[-1]).table.query("quantity == 'diverged' and seed == 0")
    assert diverged["value"].tolist() == [0, 1, 1, 1]


def test_a_lower_rate_changes_the_run_only_from_its_epoch_on() -> None:
    plain, scheduled = (
        run_to_end(make_run(learning_rate=schedule))[1].table.query("quantity == 'loss'")["value"].tolist()
        for schedule in ([{"epoch": 0, "rate": 0.05}], [{"epoch": 0, "rate": 0.05}, {"epoch": 2, "rate": 0.001}])
    )
    assert plain[:6] == scheduled[:6]
    assert plain[6:] != scheduled[6:]


def test_profile_is_the_sorted_correlation_of_each_teacher_node() -> None:
    run = make_run()
    _, result = run_to_end(run)
    settings = RankProfile(source="test/base", students=5)
    measurement = run.model_copy(update={"kind": "rank-profile", "settings": settings, "source": run})
    table = measure(measurement, TEACHERS, DATA, result.tensors, SEEDS).table
    x, _ = DATA.evaluation_set(SEEDS, 256)
    rho = correlation(
        select_teachers(run, TEACHERS, SEEDS).activations(x)[1], snapshot(result.tensors, 3).activations(x)[1]
    )
    rows = table.query("seed == 2 and epoch == 3 and layer == 1 and node == 4").sort_values("rank")
    assert rows["value"].tolist() == pytest.approx(sorted(rho[1, 4].tolist(), reverse=True)[:5])
    assert set(table["epoch"]) == {0, 3}


@pytest.mark.parametrize("kernel", [None, 3])
def test_evaluation_in_parts_equals_modules_on_everything(kernel: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luckmatters.science.moments.ROOM", {"cpu": 3000})
    inputs, seeds = (2, 6, 6), [0, 1]
    teachers = draw_teachers(inputs, [3, 4, 5], init="separated", seeds=[0], kernel=kernel)
    students = initialize_students(inputs, [6, 8, 5], seeds=seeds, kernel=kernel, batch_norm=True)
    x = torch.randn(1, 72, 50, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(5, (50,), generator=torch.Generator().manual_seed(1))
    gathered, found = overlaps(teachers, students, x, labels)
    known = [layer.detach() for layer in Module(teachers, 0).eval().activations(x[0].T)]
    for seed in seeds:
        layers = [layer.detach() for layer in Module(students, seed).eval().activations(x[0].T)]
        for one, teacher, student in zip(gathered, known, layers, strict=False):
            values = [layer.transpose(0, 1).flatten(1) for layer in (teacher, student)]  # (n, P)
            expected = torch.corrcoef(torch.cat(values))[: len(values[0]), len(values[0]) :].nan_to_num()
            torch.testing.assert_close(one.correlation()[seed], expected, rtol=0, atol=1e-5)
        assert found["loss"][seed].item() == pytest.approx(float((layers[-1] - known[-1]).square().mean()))
        assert found["accuracy"][seed].item() == (layers[-1].argmax(1) == labels).double().mean()
        assert found["teacher_accuracy"][seed].item() == (known[-1].argmax(1) == labels).double().mean()
