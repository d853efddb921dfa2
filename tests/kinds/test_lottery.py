"""The experiment: branches against one network at a time, rounds, luck, resuming; students that learn from labels."""

import itertools
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from oracle import Module, correlation, sgd

from luckmatters.kinds.lottery.run import Job, finish, last, prepare, retrain
from luckmatters.kinds.lottery.settings import Lottery
from luckmatters.kinds.student_training.run import train
from luckmatters.learning.curves import student_curves
from luckmatters.learning.data import SCORING_EPOCH, select_teachers
from luckmatters.learning.students import batches, snapshot
from luckmatters.science.data import Gaus
from luckmatters.science.images import Cifar10
from luckmatters.science.networks import Networks
from luckmatters.science.pruning import Mask, apply
from luckmatters.science.teachers import draw_teachers
from luckmatters.science.tickets import BRANCHES
from luckmatters.science.training import Trainer
from luckmatters.settings.experiment import Run
from luckmatters.settings.students import StudentTraining
from luckmatters.settings.teachers import Teacher

SEEDS, EPOCHS = [0, 2], 2
TEACHER = {"inputs": 5, "widths": [4, 6], "outputs": 7, "init": "separated", "count": 4}
TEACHERS = draw_teachers((5,), [4, 6, 7], init="separated", seeds=range(4))
DATA = Gaus(dimension=5, std=10.0, samples=320, infinite=True, batch=32)
NODES = [
    "rewound",
    "early",
    "reinitialized",
    "same-signs",
    "own-scale",
    "rewound-own-scale",
    "random-nodes",
    "shuffled",
    "scratch",
    "untrained",
]
WEIGHTS = [name for name in NODES if name != "scratch"]


def trunk_run(**changes: object) -> Run:
    settings = {
        "teacher": {"name": "toy", "seed": "own"},
        "student": {"multiplier": 4, "batch_norm": False},
        "data": {
            "kind": "gaus", "std": 10.0, "samples_per_epoch": 320, "infinite": True, "evaluation_samples": 128,
        },
        "training": {
            "epochs": EPOCHS, "batch": 32, "snapshots": [1],
            "learning_rate": [{"epoch": 0, "rate": 0.05}, {"epoch": 1, "rate": 0.02}],
        },
        "seeds": SEEDS,
    } | changes  # fmt: skip
    return Run(
        experiment="dense", variant="base", scale="ci", kind="student-training", labels={},
        settings=StudentTraining.model_validate(settings), teacher=Teacher(**TEACHER), seeds=SEEDS,
    )  # fmt: skip


def make_run(branches: list[str], source: Run | None = None, **pruning: object) -> Run:
    source = source or trunk_run()
    pruning = {"granularity": "nodes", "criterion": "contribution", "kept": 1.0, "rounds": 1} | pruning
    settings = Lottery(source="dense/base", pruning=pruning, branches=branches, early_epoch=1)
    settings.check_source(source.settings, source.teacher)
    return Run(
        experiment="toy", variant="base", scale="ci", kind="lottery", labels={}, settings=settings,
        teacher=source.teacher, seeds=SEEDS, source=source,
    )  # fmt: skip


def trained(run: Run, seeds: list[int] = SEEDS, teachers: Networks = TEACHERS, data: object = DATA) -> dict:
    *_, state = train(run, teachers, data, seeds)
    return student_curves(seeds, state).tensors


TENSORS = trained(trunk_run())


def run_to_end(run: Run, seeds: list[int] = SEEDS):
    tensors = TENSORS if seeds == SEEDS else trained(run.source, seeds)
    states = list(retrain(run, TEACHERS, DATA, tensors, seeds))
    return states, finish(run, seeds, states[-1])


@cache
def finished(kind: str):
    """The run of a kind, for tests that look at it."""
    return run_to_end(RUNS[kind])


def loss(table: pd.DataFrame, branch: str, seed: int) -> list[float]:
    rows = table[(table["branch"] == branch) & (table["seed"] == seed) & (table["quantity"] == "loss")]
    return rows.sort_values("epoch")["value"].tolist()


RUNS = {
    "nodes": make_run(NODES),
    "weights": make_run(WEIGHTS, granularity="weights", criterion="magnitude"),
    "rounds": make_run(["rewound", "reinitialized"], rounds=3),
    "weight-rounds": make_run(["rewound", "shuffled"], granularity="weights", criterion="contribution", rounds=2),
    "overall": make_run(["rewound", "random-nodes"], criterion="magnitude-overall"),
    "weights-overall": make_run(["rewound", "shuffled"], granularity="weights", criterion="magnitude-overall"),
    "everything": make_run(["dense", "rewound", "untrained"], kept=4.0),
}
KINDS = pytest.mark.parametrize("kind", list(RUNS))


def worth(module: Module, x: torch.Tensor, target: torch.Tensor) -> float:
    with torch.no_grad():
        return float((module(x.T) - target.T).square().mean())


@KINDS
def test_every_branch_trains_like_torchs_modules_on_the_shared_samples(kind: str) -> None:
    run = RUNS[kind]
    states, result = finished(kind)
    mask = Mask.from_state({name.removeprefix("mask/"): value for name, value in result.tensors.items()})
    trunk = prepare(run, TEACHERS, DATA, TENSORS, SEEDS, "cpu").trunk
    teachers = select_teachers(run.source, TEACHERS, SEEDS)
    x, _ = DATA.evaluation_set(SEEDS, 128)
    target = teachers(x)
    for branch in run.settings.branches:
        start = BRANCHES[branch](trunk, mask)
        for position, seed in enumerate(SEEDS):
            module = Module(start.networks, position)
            if start.mask and not start.mask.of_nodes:
                for linear, kept in zip(module.linears, start.mask.layers, strict=True):
                    linear.weight.register_hook(lambda g, kept=kept[position]: g * kept)
            losses = [worth(module, x[position], target[position])]
            for epoch, rate in () if branch == "untrained" else ((0, 0.05), (1, 0.02)):
                stream = batches(teachers, DATA, SEEDS, EPOCHS + epoch, on_labels=False)
                sgd(module, [(a[position], b[position]) for a, b in stream], rate)
                losses.append(worth(module, x[position], target[position]))
            assert loss(result.table, branch, seed) == pytest.approx(losses, rel=2e-4)
    assert states[-1].epoch == last(run) == run.settings.pruning.rounds * EPOCHS


def test_branches_share_samples_that_the_dense_network_did_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Watched(Gaus):
        def blocks(self, seeds, epoch):
            seen.append(epoch)
            return super().blocks(seeds, epoch)

    data = Watched(dimension=5, std=10.0, samples=320, infinite=True, batch=32)
    list(retrain(RUNS["nodes"], TEACHERS, data, TENSORS, SEEDS))
    assert seen == [SCORING_EPOCH, 2, 3]
    seen.clear()
    list(retrain(RUNS["rounds"], TEACHERS, data, TENSORS, SEEDS))
    assert seen == [SCORING_EPOCH, 4, 5, 6, 7, 2, 3]  # what is compared does not depend on the number of rounds


@KINDS
def test_resuming_gives_the_numbers_of_an_uninterrupted_run(kind: str) -> None:
    run = RUNS[kind]
    states, expected = finished(kind)
    assert [state.epoch for state in states] == list(range(last(run) + 1))
    for after in range(len(states)):
        rest = list(retrain(run, TEACHERS, DATA, TENSORS, SEEDS, resume=states[after]))
        assert len(rest) == last(run) - after
        result = finish(run, SEEDS, [*states[: after + 1], *rest][-1])
        pd.testing.assert_frame_equal(result.table, expected.table)
        torch.testing.assert_close(result.tensors, expected.tensors, rtol=0, atol=0)


@KINDS
def test_a_seed_alone_gives_the_same_table(kind: str) -> None:
    together, alone = finished(kind)[1].table, run_to_end(RUNS[kind], [2])[1].table
    together = together[together["seed"] == 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(together, alone, rtol=2e-4, atol=1e-6)


def test_masks_have_the_teachers_counts_and_rounds_are_nested() -> None:
    nodes, weights = (finished(kind)[1].tensors for kind in ("nodes", "weights"))
    assert [nodes[f"mask/{layer}"].sum(1).tolist() for layer in (0, 1)] == [[4, 4], [6, 6]]
    sizes = [5 * 4, 4 * 6, 6 * 7]  # weights of the teacher
    assert [weights[f"mask/{layer}"].flatten(1).sum(1).tolist() for layer in range(3)] == [[n, n] for n in sizes]
    states, _ = finished("rounds")
    masks = [[state.tensors[f"fixed/mask/{layer}"] for layer in (0, 1)] for state in states]
    assert [int(mask[0][0].sum()) for mask in masks] == [10, 10, 6, 6, 4, 4, 4]  # 16 · 4^(−1/3), 16 · 4^(−2/3), 4
    for before, after in itertools.pairwise(masks):
        assert all((a <= b).all() for a, b in zip(after, before, strict=True))
    assert states[3].network()["layer.0.weight"].shape == (2, 6, 5)  # tickets are narrower from round to round


def test_later_rounds_prune_the_networks_of_the_round_before() -> None:
    states, _ = finished("rounds")
    job = prepare(RUNS["rounds"], TEACHERS, DATA, TENSORS, SEEDS, "cpu")
    ticket, stream = Networks.from_state(states[1].network()), batches(job.teachers, DATA, SEEDS, 5, on_labels=False)
    modules = [Module(ticket, position) for position in (0, 1)]
    for x, target in stream:
        modules = [sgd(one, [(x[k], target[k])], 0.02) for k, one in enumerate(modules)]
    for position, module in enumerate(modules):
        with torch.no_grad():
            activations = module.activations(job.x[position].T)
        for layer in (0, 1):
            fan_out = module.linears[layer + 1].weight.detach().norm(dim=0)
            score = fan_out * activations[layer].std(0, correction=0)
            before, after = (states[epoch].tensors[f"fixed/mask/{layer}"][position] for epoch in (1, 2))
            places = before.nonzero().flatten()
            kept = places[score.argsort(descending=True)[: int(after.sum())]]
            assert sorted(kept.tolist()) == after.nonzero().flatten().tolist()


def test_the_untrained_branch_is_measured_once_and_equals_the_pruned_final_network() -> None:
    table = finished("nodes")[1].table
    rows = table[table["branch"] == "untrained"]
    assert set(rows["epoch"]) == {0}
    trunk = prepare(RUNS["nodes"], TEACHERS, DATA, TENSORS, SEEDS, "cpu").trunk
    assert all(torch.equal(a, b) for a, b in zip(trunk.final.weights, snapshot(TENSORS, 2).weights, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(trunk.early.weights, snapshot(TENSORS, 1).weights, strict=True))


def test_luck_is_the_share_of_survivors_among_the_initially_best_students() -> None:
    run = RUNS["nodes"]
    result, job = finished("nodes")[1], prepare(run, TEACHERS, DATA, TENSORS, SEEDS, "cpu")
    rows = result.table.set_index(["quantity", "branch", "layer", "seed"])["value"].sort_index()
    its, ours = job.teachers.activations(job.x), job.trunk.initial.activations(job.x)
    for layer, width in ((0, 4), (1, 6)):
        rho = correlation(its[layer], ours[layer]).numpy()
        for position, seed in enumerate(SEEDS):
            alive = rho[position][rho[position].any(1)]
            place = np.argsort(np.argsort(-alive, axis=1), axis=1).min(0)
            best = sorted(range(4 * width), key=lambda k: (place[k], -alive[:, k].max()))[:width]
            survivors = result.tensors[f"mask/{layer}"][position].nonzero().flatten().tolist()
            expected = len(set(best) & set(survivors)) / width
            assert rows["lucky", "rewound", layer, seed].item() == pytest.approx(expected)
            assert rows["lucky_chance", "rewound", layer, seed].item() == pytest.approx(0.25)
    by_luck = run_to_end(make_run(["rewound"], criterion="initial-overlap"))[1].table
    assert (by_luck.query("quantity == 'lucky'")["value"] == 1).all()


def test_pruned_weights_stay_zero_and_kept_ones_do_not() -> None:
    states, result = finished("weights")
    kept = [result.tensors[f"mask/{layer}"] for layer in range(3)]
    names = [name for name in WEIGHTS if name not in ("untrained", "shuffled", "random-nodes")]
    for layer in range(3):
        weight = states[-1].network()[f"layer.{layer}.weight"].unflatten(0, (len(SEEDS), -1))
        for name in names:
            ours = weight[:, [n for n in WEIGHTS if n != "untrained"].index(name)]
            assert torch.equal(ours != 0, kept[layer] == 1)


@KINDS
def test_a_seed_whose_dense_network_diverged_is_lost_in_every_branch_and_disturbs_no_other(kind: str) -> None:
    run, broken = RUNS[kind], {name: value.clone() for name, value in TENSORS.items()}
    for name in broken:
        if name.startswith(f"snapshot/{EPOCHS}/"):
            broken[name][0] = torch.nan
    *_, state = retrain(run, TEACHERS, DATA, broken, SEEDS)
    result, expected = finish(run, SEEDS, state), finished(kind)[1]
    lost, others = (result.table[result.table["seed"] == seed] for seed in SEEDS)
    assert set(lost["branch"]) == set(run.settings.branches)
    assert (lost.loc[lost["quantity"] == "diverged", "value"] == 1).all()
    assert lost.loc[lost["quantity"] != "diverged", "value"].isna().all()
    assert all((mask[0] == 0).all() for name, mask in result.tensors.items() if name.startswith("mask/"))
    undisturbed = expected.table[expected.table["seed"] == SEEDS[1]]
    pd.testing.assert_frame_equal(
        others.reset_index(drop=True), undisturbed.reset_index(drop=True), rtol=2e-4, atol=1e-6
    )


def test_a_seed_whose_ticket_diverged_between_rounds_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    run, trained_alone = RUNS["rounds"], Job.train

    def train(job: Job, trainer: Trainer, epoch: int, *, stream: int) -> None:
        trained_alone(job, trainer, epoch, stream=stream)
        if stream == 2 * EPOCHS + 1:  # the end of the first round
            trainer.networks.weights[1][1] = torch.inf

    expected = finished("rounds")[1].table.query("seed == 0").reset_index(drop=True)
    monkeypatch.setattr(Job, "train", train)
    table = run_to_end(run)[1].table
    lost = table[table["seed"] == SEEDS[1]]
    assert (lost.loc[lost["quantity"] == "diverged", "value"] == 1).all()
    assert lost.loc[lost["quantity"] == "loss", "value"].isna().all()
    pd.testing.assert_frame_equal(table.query("seed == 0").reset_index(drop=True), expected, rtol=2e-4, atol=1e-6)


def test_batch_norm_and_a_different_width_for_every_seed_are_refused_together() -> None:
    with pytest.raises(ValueError, match="magnitude-overall and BatchNorm"):
        make_run(["rewound"], trunk_run(student={"multiplier": 4, "batch_norm": True}), criterion="magnitude-overall")


# --- labels ----------------------------------------------------------------------------------------------------------


def labelled() -> tuple[Run, Networks, Cifar10]:
    stream = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (n, 3, 32, 32), dtype=torch.uint8, generator=stream) for n in (96, 40)]
    labels = [torch.randint(10, (len(one),), generator=stream) for one in images]
    data = Cifar10(images[0], labels[0], images[1], labels[1], samples=64, augment=True, batch=16)
    run = trunk_run(
        teacher={"name": "toy", "seed": 0},
        data={"kind": "cifar10", "samples_per_epoch": 64, "augment": True, "evaluation_samples": 40},
        target="labels",
    )
    teacher = run.teacher.model_copy(update={"inputs": [3, 32, 32], "outputs": 10})
    teachers = draw_teachers((3, 32, 32), [4, 6, 10], init="separated", seeds=range(1))
    return run.model_copy(update={"teacher": teacher}), teachers, data


def test_students_of_labels_learn_by_cross_entropy_and_so_do_their_tickets() -> None:
    run, teachers, data = labelled()
    tensors = trained(run, SEEDS, teachers, data)
    x, labels = data.evaluation_set(SEEDS, 40)

    def scored(module: Module) -> tuple[float, float]:
        outputs = module(x[0].T).detach()
        right = float((outputs.argmax(1) == labels).double().mean())
        return float(torch.nn.functional.cross_entropy(outputs, labels)), right

    module = Module(snapshot(tensors, 0), 1)
    for epoch, rate in ((0, 0.05), (1, 0.02)):
        part = [(a[1], b[1]) for a, b in data.batches(SEEDS, epoch)]
        sgd(module, part, rate, torch.nn.functional.cross_entropy)
    final = Module(snapshot(tensors, 2), 1)
    torch.testing.assert_close(module.linears[1].weight, final.linears[1].weight, rtol=1e-3, atol=1e-5)

    again = make_run(["rewound", "reinitialized"], source=run)
    *_, state = retrain(again, teachers, data, tensors, SEEDS)
    result = finish(again, SEEDS, state)
    mask = Mask.from_state({name.removeprefix("mask/"): value for name, value in result.tensors.items()})
    module = Module(apply(snapshot(tensors, 0), mask), 1)
    for epoch, rate in ((2, 0.05), (3, 0.02)):
        part = [(a[1], b[1]) for a, b in data.batches(SEEDS, epoch)]
        sgd(module, part, rate, torch.nn.functional.cross_entropy)
    rows = result.table.query("branch == 'rewound' and seed == 2 and epoch == 2").set_index("quantity")["value"]
    assert (rows["loss"], rows["accuracy"]) == (pytest.approx(scored(module)[0], rel=1e-4), scored(module)[1])
