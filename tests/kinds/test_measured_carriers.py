"""Students of finite sets: training errors, fitted students, and the nodes that carry them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from oracle import Module

from luckmatters.kinds.carriers.run import measure
from luckmatters.kinds.carriers.settings import Carriers
from luckmatters.kinds.student_training.run import finish, train
from luckmatters.learning.students import initial_students, snapshot, training_set
from luckmatters.science.data import Gaus
from luckmatters.science.finite import FiniteSet
from luckmatters.science.networks import Networks
from luckmatters.science.teachers import draw_teachers
from luckmatters.settings.experiment import Run
from luckmatters.settings.students import StudentTraining
from luckmatters.tables.files import under

SEEDS = [1, 2]
TEACHERS = draw_teachers((5,), [4, 6, 7], init="separated", seeds=range(4))
FINITE = {"size": 64, "noise": 0.2, "shuffled": True}
DATA = Gaus(5, 10.0, samples=256, infinite=False, batch=32, finite=FiniteSet(**FINITE))
CLEAN = replace(DATA, finite=FiniteSet(64))


def make_run(fitted: float = 0.9, *, finite: dict = FINITE, **student: object) -> Run:
    settings = {
        "teacher": {"name": "toy", "seed": "own"},
        "student": {"widths": [8, 12], "batch_norm": False} | student,
        "data": {
            "kind": "gaus", "std": 10.0, "samples_per_epoch": 256, "infinite": False, "evaluation_samples": 200,
            "finite": finite,
        },
        "fitted": fitted,
        "training": {
            "epochs": 6, "batch": 32, "learning_rate": [{"epoch": 0, "rate": 0.05}], "snapshots": [1, 2, 3, 4, 5],
        },
        "seeds": SEEDS,
    }  # fmt: skip
    teacher = {"inputs": 5, "widths": [4, 6], "outputs": 7, "init": "separated", "count": 4}
    return Run.model_validate(
        {"experiment": "toy", "variant": "base", "scale": "ci", "kind": "student-training", "labels": {},
         "settings": StudentTraining.model_validate(settings), "teacher": teacher, "seeds": SEEDS}
    )  # fmt: skip


def measurement(run: Run) -> Run:
    settings = Carriers(source="toy/base", rise=0.01, covering=0.9)
    return run.model_copy(update={"kind": "carriers", "settings": settings, "source": run})


def values(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """A quantity by epoch and seed."""
    return table[table["quantity"] == quantity].pivot(index="epoch", columns="seed", values="value")


def naive_error(teacher: Module, student: Module, x: torch.Tensor, targets: torch.Tensor) -> float:
    with torch.no_grad():
        output = student.eval()(x.T.double()).numpy()
    targets = targets.T.double().numpy()
    return ((output - targets) ** 2).mean() / targets.var(0).mean()


def test_errors_are_shares_of_the_variance_on_given_and_on_clean_targets() -> None:
    run = make_run()
    *_, state = train(run, TEACHERS, DATA, SEEDS)
    result = finish(run, SEEDS, state)
    x, targets = training_set(TEACHERS.select(SEEDS), DATA, SEEDS, on_labels=False)
    test, _ = DATA.evaluation_set(SEEDS, 200)
    for position, seed in enumerate(SEEDS):
        teacher = Module(TEACHERS.to(torch.float64), seed)
        for epoch in range(7):
            student = Module(snapshot(result.tensors, epoch).to(torch.float64), position)
            with torch.no_grad():
                clean = teacher.eval()(test[position].T.double()).T
            for name, own, its in (
                ("training_error", x[position], targets[position]),
                ("test_error", test[position], clean),
            ):
                expected = naive_error(teacher, student, own, its)
                assert values(result.table, name)[seed][epoch] == pytest.approx(expected, rel=1e-4)


def test_errors_are_left_out_without_a_finite_set() -> None:
    data = replace(DATA, finite=None)
    run = make_run()
    free = run.settings.model_copy(
        update={"fitted": None, "data": run.settings.data.model_copy(update={"finite": None})}
    )
    run = run.model_copy(update={"settings": free})
    *_, state = train(run, TEACHERS, data, SEEDS)
    result = finish(run, SEEDS, state)
    assert not {"training_error", "test_error"} & set(result.table["quantity"])
    assert not under(result.tensors, "fitted")


def test_each_student_is_kept_at_the_first_epoch_that_fits() -> None:
    """The level lies between errors of the two seeds, so that they come there at different epochs."""
    *_, state = train(make_run(), TEACHERS, DATA, SEEDS)
    errors = state.history()["training_error"][1:]  # (T, S)
    level = float(errors[2:4].mean())
    run = make_run(level)
    *_, state = train(run, TEACHERS, DATA, SEEDS)
    result = finish(run, SEEDS, state)
    first = [next((e + 1 for e, error in enumerate(own) if error <= level), -1) for own in errors.T.tolist()]
    assert result.tensors["fitted_epoch"].tolist() == first
    assert len(set(first)) == 2
    for position, epoch in enumerate(first):
        kept = Networks.from_state(under(result.tensors, "fitted")).weights
        expected = snapshot(result.tensors, epoch if epoch > 0 else 6).weights
        assert all(torch.equal(a[position], b[position]) for a, b in zip(kept, expected, strict=True))


@pytest.mark.parametrize("after", [0, 2, 5])
def test_resuming_gives_the_same_fitted_students(after: int) -> None:
    run = make_run(0.8)
    states = list(train(run, TEACHERS, DATA, SEEDS))
    expected = finish(run, SEEDS, states[-1])
    *_, last = train(run, TEACHERS, DATA, SEEDS, resume=states[after])
    result = finish(run, SEEDS, last)
    pd.testing.assert_frame_equal(result.table, expected.table)
    torch.testing.assert_close(result.tensors, expected.tensors, rtol=0, atol=0, equal_nan=True)


def test_a_student_that_does_not_fit_is_nan_and_the_other_is_measured() -> None:
    run = make_run(1e-6)
    *_, state = train(run, TEACHERS, DATA, SEEDS)
    tensors = finish(run, SEEDS, state).tensors
    assert tensors["fitted_epoch"].tolist() == [-1, -1]
    tensors["fitted_epoch"] = torch.tensor([-1, 6])
    table = measure(measurement(run), TEACHERS, DATA, tensors, SEEDS).table
    assert table[table["seed"] == 1]["value"].isna().all()
    assert table[table["seed"] == 2]["value"].notna().all()
    assert not table.duplicated(["seed", "layer", "quantity"]).any()


def copied(times: int) -> dict[str, torch.Tensor]:
    """Tensors of a run whose students are the teachers, each node `times` times with its share of the fan-out."""
    teachers = TEACHERS.select(SEEDS)
    weights = [weight.repeat_interleave(times, 1) for weight in teachers.weights[:-1]] + [teachers.weights[-1]]
    weights[1:] = [weight.repeat_interleave(times, 2) / times for weight in weights[1:]]
    biases = [bias.repeat_interleave(times, 1) for bias in teachers.biases[:-1]] + [teachers.biases[-1]]
    state = Networks(weights, biases, []).state()
    tensors = {f"{place}/{name}": value for place in ("fitted", "snapshot/0") for name, value in state.items()}
    return tensors | {"fitted_epoch": torch.tensor([1, 1])}


@pytest.mark.parametrize("times", [1, 3])
def test_a_copied_teacher_is_covered_and_has_so_many_students_on_each_node(times: int) -> None:
    run = make_run(finite={"size": 64}, widths=[4 * times, 6 * times])
    table = measure(measurement(run), TEACHERS, CLEAN, copied(times), SEEDS).table
    found = table.set_index(["quantity", "seed", "layer"])["value"].sort_index()
    assert found["training_error"].max() < 1e-10
    assert found["test_error"].max() < 1e-10
    assert (found["covered"] == 1).all()
    assert found["students_per_teacher"].to_numpy() == pytest.approx(times, rel=1e-5)
    # Copies of a node are equal: there are `times` as many as in the teacher, and no more teacher nodes than before.
    single = (
        measure(measurement(make_run(finite={"size": 64}, widths=[4, 6])), TEACHERS, CLEAN, copied(1), SEEDS)
        .table.set_index(["quantity", "seed", "layer"])["value"]
        .sort_index()
    )
    np.testing.assert_allclose(found["nodes"], times * single["nodes"], rtol=1e-5)
    np.testing.assert_allclose(found["teacher_nodes"], single["teacher_nodes"], rtol=1e-5)
    # Without a node that the outputs depend on, a loss of nearly 0 becomes many times as large.
    assert (found["essential"] <= times * 6).all()
    assert (found["essential"] >= 1).all()


def test_students_have_the_widths_of_the_settings_whatever_the_teacher_has() -> None:
    assert initial_students(make_run(), SEEDS, "cpu").widths == [8, 12, 7]
    deeper = make_run(widths=[1, 2, 3])
    with pytest.raises(ValueError, match=r"has 2 hidden layers, but student.widths has 3"):
        deeper.settings.check_teacher(deeper.teacher)
    for student in ({"widths": None}, {"multiplier": 2}):
        with pytest.raises(ValueError, match="the size of a student is its multiplier or its widths"):
            make_run(**student)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"infinite": True}, "finite: needs infinite: false"),
        ({"samples_per_epoch": 100}, r"samples_per_epoch 100 is no multiple of finite.size 64"),
        ({"finite": None}, "fitted: needs data.finite"),
    ],
)
def test_a_set_that_does_not_fit_is_refused(changes: dict, message: str) -> None:
    settings = make_run().settings.model_dump(exclude_none=True)
    settings["data"] = {key: value for key, value in (settings["data"] | changes).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        StudentTraining.model_validate(settings)
