"""The kinds flat-minima and node-removal on toy runs: a copied teacher, plain loops, single seeds, wrong settings."""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from oracle import Module, sgd

from luckmatters.kinds.flat_minima.run import measure as measure_flatness
from luckmatters.kinds.flat_minima.settings import FlatMinima
from luckmatters.kinds.node_removal.run import measure as measure_removal
from luckmatters.kinds.node_removal.settings import NodeRemoval
from luckmatters.learning.data import scoring_samples
from luckmatters.learning.students import batches
from luckmatters.science.data import Gaus
from luckmatters.science.flatness import changed, groups, random_changes
from luckmatters.science.hessian import hessian
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.pruning import Mask, _reorder, apply
from luckmatters.science.random import generator
from luckmatters.science.teachers import draw_teachers
from luckmatters.settings.experiment import Run
from luckmatters.settings.students import StudentTraining
from luckmatters.settings.teachers import Teacher

SEEDS, EPOCHS, TIMES = [0, 2], 4, 3
TEACHERS = draw_teachers((5,), [4, 6, 7], init="separated", seeds=range(4))
DATA = Gaus(dimension=5, std=10.0, samples=320, infinite=True, batch=32)
TEACHER = Teacher(inputs=5, widths=[4, 6], outputs=7, init="separated", count=4)
FLAT = {
    "source": "dense/base", "early_epoch": 1, "samples": 128, "radii": [0.1, 1.0], "directions": 2,
    "spectrum": {"steps": 6, "starts": 1, "near_zero": [0.01]},
}  # fmt: skip
REMOVAL = {
    "source": "dense/base", "epochs": [1, EPOCHS], "criteria": ["fan-out", "contribution", "overlap", "random"],
    "kept": [1.0, 2.0], "fine_tuning": 5,
}  # fmt: skip


def trained(multiplier: int = TIMES) -> StudentTraining:
    return StudentTraining.model_validate({
        "teacher": {"name": "toy", "seed": "own"},
        "student": {"multiplier": multiplier, "batch_norm": False},
        "data": {"kind": "gaus", "std": 10.0, "samples_per_epoch": 320, "infinite": True, "evaluation_samples": 128},
        "training": {"epochs": EPOCHS, "batch": 32, "snapshots": [1], "learning_rate": [{"epoch": 0, "rate": 0.01}]},
        "seeds": SEEDS,
    })  # fmt: skip


def make_run(settings: FlatMinima | NodeRemoval, multiplier: int = TIMES) -> Run:
    common = {"experiment": "toy", "variant": "base", "scale": "ci", "labels": {}, "teacher": TEACHER, "seeds": SEEDS}
    source = Run(**common, kind="student-training", settings=trained(multiplier))
    settings.check_source(source.settings, TEACHER)
    return Run(**common, kind="toy", settings=settings, source=source)


def initial(purpose: str, multiplier: int = TIMES) -> Networks:
    widths = [multiplier * width for width in TEACHER.widths] + [TEACHER.outputs]
    return initialize_students((5,), widths, seeds=SEEDS, purpose=purpose)


def copied() -> Networks:
    """Students whose first nodes are the teacher's; the other nodes have no fan-out."""
    student, teachers = initial("copied"), TEACHERS.select(SEEDS)
    for layer, (weight, bias) in enumerate(zip(student.weights, student.biases, strict=True)):
        theirs = teachers.weights[layer]
        copies, below = theirs.shape[1:]
        if layer:
            weight[:, :, below:] = 0
        weight[:, :copies] = 0
        weight[:, :copies, :below] = theirs
        bias[:, :copies] = teachers.biases[layer]
    return student


def tensors(first: Networks, early: Networks, last: Networks) -> dict[str, torch.Tensor]:
    students = {0: first, 1: early, EPOCHS: last}
    return {f"snapshot/{epoch}/{name}": t for epoch, one in students.items() for name, t in one.state().items()}


COPY = copied()
TENSORS = tensors(initial("first"), initial("early"), COPY)


def flatness(content: dict = TENSORS, seeds: list[int] = SEEDS, multiplier: int = TIMES, **changes) -> pd.DataFrame:
    run = make_run(FlatMinima.model_validate(FLAT | changes), multiplier)
    return measure_flatness(run, TEACHERS, DATA, content, seeds).table


def removal(content: dict = TENSORS, seeds: list[int] = SEEDS, **changes) -> pd.DataFrame:
    run = make_run(NodeRemoval.model_validate(REMOVAL | changes))
    return measure_removal(run, TEACHERS, DATA, content, seeds).table


def only(content: dict, position: int) -> dict:
    return {name: tensor[[position]] for name, tensor in content.items()}


def permuted(content: dict) -> dict:
    """All snapshots with the hidden nodes of every layer in the same new order."""
    result = {}
    orders = [
        torch.stack([torch.randperm(TIMES * n, generator=torch.Generator().manual_seed(s)) for s in SEEDS])
        for n in TEACHER.widths
    ]
    for epoch in (0, 1, EPOCHS):
        prefix = f"snapshot/{epoch}/"
        one = Networks.from_state({n.removeprefix(prefix): t for n, t in content.items() if n.startswith(prefix)})
        biases = [bias.gather(1, order[..., None]) for bias, order in zip(one.biases, orders, strict=False)]
        other = Networks(_reorder(one.weights, orders), [*biases, one.biases[-1]], [])
        result |= {f"{prefix}{name}": tensor for name, tensor in other.state().items()}
    return result


# --- flat minima -----------------------------------------------------------------------------------------------------


def test_a_copied_teachers_other_nodes_move_nothing_and_its_copies_do() -> None:
    table = flatness().query("epoch == @EPOCHS")
    moved = table[table["quantity"] == "moved"]
    assert (moved.loc[moved["group"] == "irrelevant", "value"] == 0).all()
    assert (moved.loc[moved["group"] == "lucky", "value"] > 1e-4).all()
    fan_out = table[table["quantity"] == "fan_out"]
    assert (fan_out.loc[fan_out["group"] == "irrelevant", "value"] == 0).all()
    assert (fan_out.loc[fan_out["group"] == "lucky", "value"] > 0).all()


def test_changes_are_those_of_a_loop_over_single_networks() -> None:
    content = tensors(initial("first"), initial("early"), initial("last"))
    table = flatness(content).dropna(subset="radius")
    last = initial("last")
    chosen = groups(TEACHERS.select(SEEDS), last, scoring_samples(DATA, SEEDS))
    x, _ = DATA.evaluation_set(SEEDS, 128)
    target = TEACHERS.select(SEEDS)(x)
    for epoch, student in ((1, initial("early")), (EPOCHS, last)):
        for layer, radius, group, (position, seed) in itertools.product(
            range(2), FLAT["radii"], chosen, enumerate(SEEDS)
        ):
            one, found = student.select([position]), {"moved": [], "loss_ratio": []}
            before = Module(one, 0)(x[position].T).detach()
            for draw in range(2):
                change = radius * random_changes(one, layer, [generator("fan-in-change", seed, layer, draw)])
                change[0, chosen[group].layers[layer][position] == 0] = 0
                after = Module(changed(one, layer, change), 0)(x[position].T).detach()
                found["moved"].append((after - before).square().mean() / before.var(0, correction=0).mean())
                errors = [(output - target[position].T).square().mean() for output in (after, before)]
                found["loss_ratio"].append(errors[0] / errors[1])
            place = {"epoch": epoch, "layer": layer, "radius": radius, "seed": seed, "group": group}
            rows = table[np.all([table[column] == value for column, value in place.items()], axis=0)]
            rows = rows.set_index("quantity")["value"]
            for name, values in found.items():
                assert rows[name] == pytest.approx(float(np.mean(values)), rel=1e-4)


def test_the_share_near_zero_is_that_of_the_dense_hessian() -> None:
    """As many steps as parameters: the quadrature is exact for the start."""
    content = tensors(*(initial(purpose, 1) for purpose in ("first", "early", "last")))
    content = {name: tensor.double() for name, tensor in content.items()}
    last, size = initial("last", 1).to(torch.float64), 103  # 5·4 + 4 + 4·6 + 6 + 6·7 + 7
    data = SimpleNamespace(evaluation_set=lambda seeds, n: (DATA.evaluation_set(seeds, n)[0].double(), None))
    settings = FlatMinima.model_validate(FLAT | {"spectrum": {"steps": size, "starts": 1, "near_zero": [0.01]}})
    teachers = TEACHERS.to(torch.float64)
    table = measure_flatness(make_run(settings, 1), teachers, data, content, SEEDS).table
    assert "group" not in table  # as many nodes as the teacher has: none is left over
    x, _ = data.evaluation_set(SEEDS, 128)
    target = teachers.select(SEEDS)(x)
    for position, seed in enumerate(SEEDS):
        operator = hessian(last.select([position]), x[[position]], target[[position]])
        values, vectors = np.linalg.eigh(operator @ np.eye(size))
        start = generator("hessian", seed, 0).standard_normal(size)
        shares = (vectors.T @ (start / np.linalg.norm(start))) ** 2
        rows = table.query("epoch == @EPOCHS and seed == @seed").set_index("quantity")["value"]
        assert rows["parameters"] == size
        assert rows["greatest"] == pytest.approx(np.abs(values).max())
        assert rows["flat_0.01"] == pytest.approx(shares[np.abs(values) <= 0.01 * np.abs(values).max()].sum(), abs=1e-6)


def test_distances_say_where_the_fan_in_went() -> None:
    wanted = flatness().query("quantity in ('teacher_distance', 'start_distance')")
    assert set(wanted.loc[wanted["quantity"] == "start_distance", "epoch"]) == {EPOCHS}
    assert set(wanted.loc[wanted["quantity"] == "teacher_distance", "epoch"]) == {0, 1, EPOCHS}
    table = flatness(tensors(COPY, COPY, COPY)).set_index(["quantity", "group", "epoch"])["value"]
    assert table["start_distance"].abs().max() < 1e-6


@pytest.mark.parametrize("measure", [flatness, removal])
def test_a_seed_alone_gives_the_same_table(measure) -> None:
    content = tensors(initial("first"), initial("early"), initial("last"))
    together, alone = measure(content), measure(only(content, 1), [SEEDS[1]])
    together = together[together["seed"] == SEEDS[1]].reset_index(drop=True)
    pd.testing.assert_frame_equal(together, alone, rtol=1e-3, atol=1e-6)


def test_permutations_of_nodes_change_no_loss_and_no_distance() -> None:
    """But where random numbers belong to places: random directions and nodes kept at random."""
    content = tensors(initial("first"), initial("early"), initial("last"))
    ours, theirs = (
        flatness(one).query("quantity in ('fan_out', 'teacher_distance', 'start_distance')").reset_index(drop=True)
        for one in (content, permuted(content))
    )
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-3, atol=1e-5)
    ours, theirs = (removal(one, criteria=REMOVAL["criteria"][:3]) for one in (content, permuted(content)))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("measure", [flatness, removal])
def test_a_diverged_seed_is_nan_and_disturbs_no_other(measure) -> None:
    content = tensors(initial("first"), initial("early"), initial("last"))
    broken = {name: tensor.clone() for name, tensor in content.items()}
    for name in broken:
        if name.startswith(f"snapshot/{EPOCHS}/"):
            broken[name][0] = torch.nan
    found, expected = measure(broken), measure(content)
    lost = found[(found["seed"] == SEEDS[0]) & (found["epoch"] == EPOCHS)]
    assert len(lost)
    assert lost["value"].isna().all()
    others = [table[table["seed"] == SEEDS[1]].reset_index(drop=True) for table in (found, expected)]
    pd.testing.assert_frame_equal(*others, rtol=1e-3, atol=1e-6)


# --- removal ---------------------------------------------------------------------------------------------------------


def test_a_copied_teachers_other_nodes_are_removed_without_loss() -> None:
    table = removal().query("epoch == @EPOCHS and branch == 'removed'").set_index(["group", "kept"])["value"]
    for group, size in itertools.product(("fan-out", "contribution", "overlap"), (1.0, 2.0)):
        assert table[group, size].max() < 1e-9
    assert table["whole", 3.0].max() < 1e-9
    assert table["random", 1.0].min() > 1e-3


def test_what_is_left_keeps_its_weights_and_trains_like_torchs_modules_on_new_samples() -> None:
    table = removal().set_index(["branch", "group", "kept", "epoch", "seed"])["value"]
    early, teachers = initial("early"), TEACHERS.select(SEEDS)
    x, _ = DATA.evaluation_set(SEEDS, 128)
    target = teachers(x)
    stream = list(batches(teachers, DATA, SEEDS, EPOCHS, on_labels=False))[: REMOVAL["fine_tuning"]]
    norms = early.fan_out_norms()
    kept = Mask(tuple((norm >= norm.topk(n, 1).values[:, -1:]).float() for norm, n in zip(norms, (4, 6), strict=True)))
    for (group, size), networks in {("fan-out", 1.0): apply(early, kept), ("whole", 3.0): early}.items():
        for position, seed in enumerate(SEEDS):
            module = Module(networks, position)
            losses = []
            for _ in range(2):
                losses.append(float((module(x[position].T) - target[position].T).detach().square().mean()))
                sgd(module, [(a[position], b[position]) for a, b in stream], 0.01)
            for branch, loss in zip(("removed", "fine-tuned"), losses, strict=True):
                assert table[branch, group, size, 1, seed].item() == pytest.approx(loss, rel=2e-4)


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings", "changes", "message"),
    [
        (FlatMinima, FLAT, {"early_epoch": 2}, "early_epoch: dense/base keeps no epoch 2"),
        (FlatMinima, FLAT, {"early_epoch": EPOCHS}, f"keeps no epoch {EPOCHS} before the last"),
        (FlatMinima, FLAT, {"samples": 129}, "samples: 129 are more than the 128"),
        (NodeRemoval, REMOVAL, {"epochs": [2]}, "epochs: dense/base keeps no epoch 2"),
        (NodeRemoval, REMOVAL, {"kept": [3.0]}, "kept: must leave a node in each layer and be below 3"),
        (NodeRemoval, REMOVAL, {"fine_tuning": 11}, "fine_tuning: 11 steps are more than the 10 of an epoch"),
    ],
)
def test_settings_that_do_not_fit_the_source_are_refused(kind, settings: dict, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_run(kind.model_validate(settings | changes))


def test_what_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="criteria: each may stand but once"):
        NodeRemoval.model_validate(REMOVAL | {"criteria": ["random", "random"]})
