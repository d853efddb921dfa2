"""Luck and speed, modulation and the gradient rule as experiments: tables against naive loops and known answers."""

import numpy as np
import pandas as pd
import pytest
import torch
from oracle import correlation
from torch import Tensor

from luckmatters.kinds.gradient_rule import run as gradient_rule
from luckmatters.kinds.luck_speed import run as luck_speed
from luckmatters.kinds.luck_speed.settings import LuckSpeed
from luckmatters.kinds.modulation import run as modulation
from luckmatters.kinds.student_training import run as student_training
from luckmatters.science.data import Gaus
from luckmatters.science.networks import Networks
from luckmatters.science.teachers import draw_teachers
from luckmatters.settings.experiment import Run
from luckmatters.settings.students import GradientMeasurement, StudentTraining
from luckmatters.settings.teachers import Teacher
from luckmatters.tables.history import TrainingState

SEEDS = [0, 2]
TEACHERS = draw_teachers((5,), [4, 3, 7], init="separated", seeds=range(4))
DATA = Gaus(dimension=5, std=10.0, samples=2560, infinite=True, batch=32)  # 80 steps: five blocks of 16 batches
SETTINGS = {
    "teacher": {"name": "toy", "seed": "own"},
    "student": {"multiplier": 3, "batch_norm": False},
    "data": {"kind": "gaus", "std": 10.0, "samples_per_epoch": 2560, "infinite": True, "evaluation_samples": 64},
    "training": {"epochs": 2, "batch": 32, "learning_rate": [{"epoch": 0, "rate": 0.02}], "snapshots": [1]},
    "seeds": SEEDS,
}
TIMES = {"measurements": 9, "first_step": 7, "levels": [0.9, 0.95], "negligible": 0.1}


def make_run(kind: str, settings, source: Run | None = None) -> Run:
    teacher = Teacher.model_validate({"inputs": 5, "widths": [4, 3], "outputs": 7, "init": "separated", "count": 4})
    return Run(
        experiment="toy", variant="base", scale="ci", kind=kind, labels={}, settings=settings, teacher=teacher,
        seeds=SEEDS, source=source,
    )  # fmt: skip


WITHOUT_SNAPSHOTS = SETTINGS | {"training": SETTINGS["training"] | {"snapshots": []}}
LUCK = make_run("luck-speed", LuckSpeed.model_validate(WITHOUT_SNAPSHOTS | TIMES))
TRAINING = make_run("student-training", StudentTraining.model_validate(SETTINGS))


def luck_states(seeds: list[int] = SEEDS, resume: TrainingState | None = None) -> list[TrainingState]:
    return list(luck_speed.train(LUCK, TEACHERS, DATA, seeds, resume=resume))


def test_moments_are_evenly_spaced_and_include_the_end_of_every_epoch() -> None:
    moments = luck_speed.steps(LUCK)
    assert (moments[0], moments[1], moments[-1]) == (0, 7, 160)
    assert moments == sorted(set(moments))
    assert len(moments) == 1 + 9 + 1 == luck_speed.last(LUCK) + 1
    ratios = np.diff(np.log([moment for moment in moments[1:] if moment != 80]))
    assert ratios.max() < 1.25 * ratios.min()
    assert 80 in moments


@pytest.mark.parametrize("batch_norm", [False, True], ids=["no-bn", "bn"])
def test_numbers_at_whole_epochs_equal_those_of_student_training(batch_norm: bool) -> None:
    changes = {"student": {"multiplier": 3, "batch_norm": batch_norm}}
    luck = make_run("luck-speed", LuckSpeed.model_validate(WITHOUT_SNAPSHOTS | TIMES | changes))
    training = make_run("student-training", StudentTraining.model_validate(SETTINGS | changes))
    found, expected = (
        kind.finish(run, SEEDS, list(kind.train(run, TEACHERS, DATA, SEEDS))[-1])
        for kind, run in ((luck_speed, luck), (student_training, training))
    )
    keys = ["seed", "epoch", "layer", "quantity"]
    curves = found.table[found.table["node"].isna()].drop(columns="node")
    assert not curves.duplicated(keys).any()
    own = {"passed", "standing", "found", "winners_share"}
    whole = curves[(curves["epoch"] % 1 == 0) & ~curves["quantity"].isin(own)]
    same = [frame.set_index(keys)["value"].sort_index() for frame in (whole, expected.table.astype({"epoch": float}))]
    pd.testing.assert_series_equal(*same, check_exact=True)
    between = curves[curves["epoch"] % 1 != 0]
    assert set(between["quantity"]) == {"loss", "diverged", *own}
    assert between.query("quantity == 'loss'")["epoch"].nunique() == len(luck_speed.steps(luck)) - 3
    snapshots = [name for name in expected.tensors if name.startswith(("snapshot/0/", "snapshot/2/"))]
    assert len(snapshots) > 10
    for name in ("winner/1", "winner_rank/0", "best/1", *snapshots):
        assert torch.equal(found.tensors[name], expected.tensors[name])


def test_measuring_more_often_trains_the_same_students() -> None:
    """The parameters at the end are those of student training on the same settings."""
    *_, plain = student_training.train(TRAINING, TEACHERS, DATA, SEEDS)
    for name, tensor in luck_states()[-1].network().items():
        torch.testing.assert_close(tensor, plain.network()[name], rtol=0, atol=0)


@pytest.mark.parametrize("moment", [0, 3, 7])
def test_resuming_within_an_epoch_gives_the_numbers_of_an_uninterrupted_run(moment: int) -> None:
    states = luck_states()
    *_, resumed = luck_states(resume=states[moment])
    for name, tensor in states[-1].tensors.items():
        torch.testing.assert_close(tensor, resumed.tensors[name], rtol=0, atol=0, equal_nan=True)


def test_a_seed_alone_gives_the_same_table() -> None:
    both, alone = (luck_speed.finish(LUCK, seeds, luck_states(seeds)[-1]).table for seeds in (SEEDS, [2]))
    keys = ["epoch", "layer", "node", "quantity"]
    merged = both[both["seed"] == 2].merge(alone, on=keys, suffixes=("_both", "_alone"), how="outer")
    assert len(merged) == len(alone)
    np.testing.assert_allclose(merged["value_both"], merged["value_alone"], rtol=1e-3, atol=1e-4)


def test_a_diverged_seed_is_reported_and_has_no_numbers() -> None:
    tensors = dict(luck_states()[-1].tensors)
    for name, since in (("moment_finite", 6), ("finite", 1)):  # within the first epoch
        tensors[f"history/{name}"] = tensors[f"history/{name}"].clone()
        tensors[f"history/{name}"][since:, 1] = False
    table = luck_speed.finish(LUCK, SEEDS, TrainingState(luck_speed.last(LUCK), tensors)).table
    moments = np.array(luck_speed.steps(LUCK)) / luck_speed.steps_per_epoch(LUCK)
    told = table[table["quantity"] == "diverged"].set_index(["seed", "epoch"])["value"].sort_index()
    assert told.loc[2].tolist() == [float(moment >= moments[6]) for moment in moments]
    assert (told.loc[0] == 0).all()
    gone = table[(table["seed"] == 2) & (table["quantity"] != "diverged")]
    of_nodes = gone["node"].notna()
    assert gone[of_nodes]["value"].isna().all()
    curves = gone[~of_nodes].groupby("epoch")["value"].agg(["count", "size"])
    assert curves.loc[moments[6] :, "count"].eq(0).all()
    assert curves.loc[: moments[5], "count"].gt(0).all()
    assert table[(table["seed"] == 0) & table["quantity"].eq("initial_overlap")]["value"].notna().any()
    assert table[table["quantity"].isin(["loss", "diverged"])]["layer"].isna().all()
    assert set(table.dropna(subset="node")["layer"]) == {0, 1}


def test_history_holds_correlations_and_contributions() -> None:
    state = luck_states()[-1]
    students = Networks.from_state(state.network())
    x, _ = DATA.evaluation_set(SEEDS, 64)
    for layer in (0, 1):
        its, ours = (net.activations(x)[layer] for net in (TEACHERS.select(SEEDS), students))
        torch.testing.assert_close(state.history()[f"rho/{layer}"][-1], correlation(its, ours))
        above = students.weights[layer + 1]  # (S, n_out, n)
        for seed in range(2):
            for node in range(ours.shape[1]):
                expected = above[seed, :, node].norm() * ours[seed, node].std(correction=0)
                torch.testing.assert_close(state.history()[f"contribution/{layer}"][-1, seed, node], expected)


def test_fates_equal_a_naive_loop() -> None:
    rho = torch.rand(6, 2, 3, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    rho[:, 0, :, 5] = 0  # a dead student
    epochs = torch.tensor([0.0, 0.5, 1, 2, 4, 8], dtype=torch.float64)
    rho[:, 1, 1] = 0  # a dead teacher node
    rho[-1, 1, :, 2] = torch.tensor([-0.3, 0, -0.2])
    live = torch.tensor([[True] * 3, [True, False, True]])
    found = luck_speed.fates(rho, live, epochs, [0.9])
    for seed in range(2):
        for node in range(8):
            path = rho[:, seed, :, node]
            if not path[-1].any():
                assert all(value[seed, node].isnan() for value in found.values())
                continue
            nodes = [k for k in range(3) if live[seed, k]]
            teacher = max(nodes, key=lambda k: path[-1, k].item())
            start, others = float(path[0, teacher]), [float(path[0, k]) for k in nodes if k != teacher]
            assert found["margin"][seed, node] == pytest.approx(start - max(others))
            closer = sum(float(rho[0, seed, teacher, other]) > start for other in range(8)) / 8
            assert found["initial_rank"][seed, node] == pytest.approx(closer)
            for name, goal in (("time_0.9", 0.9), ("time_half_way", (1 + start) / 2)):
                first = next((float(t) for t, one in zip(epochs, path, strict=True) if one[teacher] > goal), np.nan)
                assert found[name][seed, node].item() == pytest.approx(first, nan_ok=True)


def test_standing_counts_students_that_overlap_and_contribute() -> None:
    rho = torch.tensor([[0.95, 0.92, 0.2, 0.1], [0.0, 0.91, 0.93, 0.3], [0, 0, 0, 0]], dtype=torch.float64)[None, None]
    contribution = torch.tensor([1.0, 0.05, 0.5, 0.45], dtype=torch.float64)[None, None]
    rho = torch.cat([rho, torch.tensor([0.1, 0.2, 0.3, 0.8]).double().expand(1, 1, 1, 4)], 2)
    live = torch.tensor([[True, True, False, True]])
    found = {name: value.item() for name, value in luck_speed.standing(rho, contribution, live, 0.9, 0.1).items()}
    # The first teacher node has two above the level, one of which contributes; the second likewise; the third is dead;
    # the fourth has not been found, but has a best student.
    assert found == pytest.approx({"passed": 2, "standing": 1, "found": 2 / 3, "winners_share": 1.95 / 2})


def test_a_diverged_seed_has_nan_modulation_and_leaves_the_other_seed_unchanged() -> None:
    run = make_run("modulation", GradientMeasurement(source="toy/base", samples=48), TRAINING)
    good, bad = trained(), trained()
    bad["snapshot/2/layer.1.weight"][0] = torch.nan
    before, after = (modulation.measure(run, TEACHERS, DATA, one, SEEDS).table for one in (good, bad))
    assert after[after["seed"] == SEEDS[0]]["value"].isna().all()
    pd.testing.assert_frame_equal(after[after["seed"] == SEEDS[1]], before[before["seed"] == SEEDS[1]])


def trained() -> dict[str, Tensor]:
    *_, state = student_training.train(TRAINING, TEACHERS, DATA, SEEDS)
    return student_training.finish(TRAINING, SEEDS, state).tensors


def measured(kind) -> pd.DataFrame:
    run = make_run(kind.__name__, GradientMeasurement(source="toy/base", samples=48), TRAINING)
    return kind.measure(run, TEACHERS, DATA, trained(), SEEDS)


def test_gradient_rule_holds_at_every_saved_epoch_and_layer() -> None:
    result = measured(gradient_rule)
    residual = result.table.query("quantity == 'residual'")
    assert len(residual) == 2 * 3 * 2  # seeds, epochs 0, 1, 2, layers
    assert (residual["value"] < 1e-12).all()
    for epoch in (0, 1, 2):
        torch.testing.assert_close(result.tensors[f"predicted/{epoch}/1"], result.tensors[f"true/{epoch}/1"])


def test_a_wrong_rule_leaves_a_residual(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gradient_rule.gradients
    monkeypatch.setattr(gradient_rule, "gradients", lambda *arguments: 1.001 * right(*arguments))
    residual = measured(gradient_rule).table.query("quantity == 'residual'")["value"]
    np.testing.assert_allclose(residual, 0.001, rtol=1e-6)


def test_agreement_is_cosine_and_ratio_of_norms() -> None:
    true = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    found = gradient_rule.agreement(-2 * true, true)
    torch.testing.assert_close(found["cosine"], -torch.ones(2))
    torch.testing.assert_close(found["norm_ratio"], 2 * torch.ones(2))


def test_modulation_of_a_student_equal_to_its_teacher_is_the_teachers_own() -> None:
    """Students that begin with the teacher's nodes have the H* of a teacher node with itself at a match."""
    run = make_run("modulation", GradientMeasurement(source="toy/base", samples=48), TRAINING)
    tensors = trained()
    teachers = TEACHERS.select(SEEDS)
    for name, tensor in teachers.state().items():
        key = f"snapshot/2/{name}"
        tensors[key] = torch.zeros_like(tensors[key])
        tensors[key][tuple(slice(size) for size in tensor.shape)] = tensor
    result = modulation.measure(run, TEACHERS, DATA, tensors, SEEDS)
    x, _ = DATA.evaluation_set(SEEDS, 48)
    for layer in (0, 1):
        opened = (teachers.activations(x)[layer] > 0).float()
        matrix = result.tensors[f"h_star/2/{layer}"]
        if layer == 1:
            beta = teachers.weights[2].transpose(1, 2) @ teachers.weights[2]
            torch.testing.assert_close(matrix[:, :3], beta * (opened @ opened.transpose(1, 2)) / 48)
        assert (matrix[:, matrix.shape[2] :] == 0).all()  # nodes that are not the teacher's carry nothing
    share = result.table.query("quantity == 'beta_star_share' and epoch == 2 and layer == 1").set_index("seed")["value"]
    beta = (
        teachers.weights[2].transpose(1, 2) @ teachers.weights[2]
    ).abs()  # all that the upper layer's students carry
    alive = (teachers.activations(x)[1].std(2) > 0).numpy()
    for index, seed in enumerate(SEEDS):
        expected = (beta[index].diagonal() / beta[index].sum(0)).numpy()[alive[index]]
        assert share[seed] == pytest.approx(expected.mean())
