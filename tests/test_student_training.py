"""The experiment: history, table, ranks, divergence, resuming."""

import numpy as np
import pandas as pd
import pytest
import torch
from oracle import Module, correlation

from luckmatters.config.schema import RankProfile, Run, StudentTraining
from luckmatters.experiments.history import Progress
from luckmatters.experiments.rank_profile import measure
from luckmatters.experiments.student_training import finish, overlaps, select_teachers, snapshot, train
from luckmatters.science.data import Gaus
from luckmatters.science.networks import initialize_students
from luckmatters.science.teachers import draw_teachers

SEEDS = [0, 2]


def make_run(**changes: object) -> Run:
    settings = {
        "teacher": {"name": "toy", "seed": changes.pop("teacher_seed", "own")},
        "student": {"multiplier": 3, "batch_norm": changes.pop("batch_norm", False)},
        "data": {
            "kind": "gaus", "std": 10.0, "samples_per_epoch": 320, "infinite": True, "evaluation_samples": 128,
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
    # 4 epochs, 2 seeds: loss and diverged, and six quantities for each of two layers.
    assert len(result.table) == 4 * 2 * (2 + 6 * 2)
    assert result.table["value"].notna().all()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_correlation_and_ranks_equal_a_naive_computation_from_snapshots(batch_norm: bool) -> None:
    run = make_run(batch_norm=batch_norm, snapshots=[0, 1, 2, 3])
    _, result = run_to_end(run)
    x, _ = DATA.evaluation_set(SEEDS, 128)
    teacher = select_teachers(run, TEACHERS, SEEDS).activations(x)
    rho = [
        [
            correlation(t, s).numpy()
            for t, s in zip(teacher, snapshot(result.tensors, epoch).activations(x), strict=True)
        ]
        for epoch in range(4)
    ]
    values = result.table.set_index(["quantity", "seed", "epoch", "layer"])["value"]
    for layer in (0, 1):
        winner = rho[3][layer].argmax(2)
        alive = rho[3][layer].max(2) != 0
        for epoch in range(4):
            for position, seed in enumerate(SEEDS):
                now = rho[epoch][layer][position]
                assert values["correlation", seed, epoch, layer] == pytest.approx(now.max(1).mean(), abs=1e-6)
                ranks = [
                    (now[node] > now[node, winner[position, node]]).sum() / now.shape[1]
                    for node in range(now.shape[0])
                    if alive[position, node]
                ]
                assert values["mean_rank", seed, epoch, layer] == pytest.approx(np.mean(ranks))
                assert values["median_rank", seed, epoch, layer] == pytest.approx(np.median(ranks))
    assert (values.loc["mean_rank", :, 3] == 0).all()  # the winner is first at the end


def test_loss_is_the_mean_over_samples_and_outputs() -> None:
    run = make_run()
    _, result = run_to_end(run)
    x, _ = DATA.evaluation_set(SEEDS, 128)
    difference = snapshot(result.tensors, 3)(x) - select_teachers(run, TEACHERS, SEEDS)(x)
    losses = result.table.query("quantity == 'loss' and epoch == 3")["value"].tolist()
    assert losses == pytest.approx([float((one**2).mean()) for one in difference])


@pytest.mark.parametrize("teacher_seed", ["own", 1])
def test_a_seed_alone_gives_the_same_table(teacher_seed: object) -> None:
    run = make_run(teacher_seed=teacher_seed)
    together, alone = (run_to_end(run, seeds)[1].table for seeds in ([0, 2], [2]))
    together = together[together["seed"] == 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(together, alone, rtol=1e-4, atol=1e-6)


def test_students_share_the_one_teacher_or_have_their_own() -> None:
    assert select_teachers(make_run(teacher_seed=1), TEACHERS, SEEDS).seeds == 1
    own = select_teachers(make_run(), TEACHERS, SEEDS)
    assert torch.equal(own.weights[0], TEACHERS.weights[0][SEEDS])


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_resuming_gives_the_undisturbed_numbers(after: int) -> None:
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


def test_a_diverged_seed_is_recorded_and_the_other_is_as_if_alone() -> None:
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
    resumed = list(train(run, TEACHERS, DATA, SEEDS, resume=Progress(0, first)))
    diverged = finish(run, SEEDS, resumed[-1]).table.query("quantity == 'diverged' and seed == 0")
    assert diverged["value"].tolist() == [0, 1, 1, 1]


def test_a_lower_rate_from_an_epoch_on_changes_the_run_only_from_there() -> None:
    plain, scheduled = (
        run_to_end(make_run(learning_rate=schedule))[1].table.query("quantity == 'loss'")["value"].tolist()
        for schedule in ([{"epoch": 0, "rate": 0.05}], [{"epoch": 0, "rate": 0.05}, {"epoch": 2, "rate": 0.001}])
    )
    assert plain[:6] == scheduled[:6]
    assert plain[6:] != scheduled[6:]


def test_profile_is_the_sorted_correlation_of_each_teacher_node() -> None:
    run = make_run()
    _, result = run_to_end(run)
    settings = RankProfile(measures="test/base", students=5)
    measurement = run.model_copy(update={"kind": "rank-profile", "settings": settings, "source": run})
    table = measure(measurement, TEACHERS, DATA, result.tensors, SEEDS).table
    x, _ = DATA.evaluation_set(SEEDS, 128)
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
