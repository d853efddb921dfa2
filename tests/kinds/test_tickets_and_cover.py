"""Tickets and found teacher nodes: against naive loops, on constructed students, and claims on made-up tables."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

from luckmatters.config import Project
from luckmatters.kinds.tickets_and_cover.claims import advantage
from luckmatters.kinds.tickets_and_cover.run import measure
from luckmatters.kinds.tickets_and_cover.settings import TicketsAndCover
from luckmatters.learning.evaluation import overlaps
from luckmatters.ledger import CONTRADICTS, SUPPORTS, UNDECIDED, judge
from luckmatters.science.data import Gaus
from luckmatters.science.extremes import best_direction
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.teachers import draw_teachers
from luckmatters.settings.experiment import Run
from luckmatters.settings.students import StudentTraining
from luckmatters.settings.teachers import Teacher
from luckmatters.tables.results import Results

# --- the measurement --------------------------------------------------------------------------------------------------

SEEDS, EPOCHS, WIDTHS, MULTIPLIER = [0, 2], 3, [4, 3], 2
LAYERS = range(len(WIDTHS))
TEACHERS = draw_teachers((5,), [*WIDTHS, 7], init="separated", seeds=range(4))
OWN = TEACHERS.select(SEEDS)
DATA = Gaus(dimension=5, std=10.0, samples=64, infinite=True, batch=32)
X, _ = DATA.evaluation_set(SEEDS, 300)
SETTINGS = {
    "teacher": {"name": "toy", "seed": "own"},
    "student": {"multiplier": MULTIPLIER, "batch_norm": False},
    "data": {"kind": "gaus", "std": 10.0, "samples_per_epoch": 64, "infinite": True, "evaluation_samples": 300},
    "training": {"epochs": EPOCHS, "batch": 32, "learning_rate": [{"epoch": 0, "rate": 0.02}], "snapshots": []},
    "seeds": SEEDS,
}


def run_of(settings, source: Run | None = None) -> Run:
    teacher = Teacher.model_validate({"inputs": 5, "widths": WIDTHS, "outputs": 7, "init": "separated", "count": 4})
    return Run(
        experiment="toy", variant="base", scale="ci", kind="toy", labels={}, settings=settings, teacher=teacher,
        seeds=SEEDS, source=source,
    )  # fmt: skip


TRAINED = run_of(StudentTraining.model_validate(SETTINGS))
RUN = run_of(TicketsAndCover(source="toy/base", level=0.9, negligible=0.1, pool=40), TRAINED)


def random_students(purpose: str = "student-init") -> Networks:
    return initialize_students((5,), [MULTIPLIER * width for width in WIDTHS] + [7], seeds=SEEDS, purpose=purpose)


def copies(contribution: float = 1.0) -> Networks:
    """Students whose first nodes are the teacher's; the others are random, with a fan-out of `contribution`."""
    students = random_students("others")
    for layer, width in enumerate([*WIDTHS, 7]):
        below = WIDTHS[layer - 1] if layer else 5
        weight = students.weights[layer]
        weight[:, :width] = 0
        weight[:, :width, :below] = OWN.weights[layer]
        students.biases[layer][:, :width] = OWN.biases[layer]
        weight[:, :, below:] *= contribution
    return students


def measured(first: Networks, last: Networks) -> pd.DataFrame:
    tensors = {
        f"snapshot/{epoch}/{name}": tensor
        for epoch, students in ((0, first), (EPOCHS, last))
        for name, tensor in students.state().items()
    }
    before, after = (overlaps(OWN, students, X)[0] for students in (first, last))
    for layer, both in enumerate(zip(before, after, strict=True)):
        start, end = (overlap.best()[0] for overlap in both)
        tensors[f"best/{layer}"] = torch.stack([start] * EPOCHS + [end])
    return measure(RUN, TEACHERS, DATA, tensors, SEEDS).table


def node_values(table: pd.DataFrame, quantity: str, layer: int) -> pd.Series:
    """The values of live teacher nodes, by seed and node."""
    rows = table[(table["quantity"] == quantity) & (table["layer"] == layer)]
    return rows.set_index(["seed", "node"])["value"].dropna()


def pearson(one: torch.Tensor, other: torch.Tensor) -> float:
    return np.corrcoef(one, other)[0, 1] if other.std() > 0 else 0.0


def test_tickets_and_found_nodes_equal_a_naive_loop() -> None:
    first, last = random_students(), copies(contribution=0.01)
    last.weights[2][:, :, 1] *= 1e-3  # a copy that contributes nothing stands for no teacher node
    table, seen = measured(first, last), 0
    for layer in LAYERS:
        ticket, found = (node_values(table, name, layer) for name in ("ticket", "found"))
        theirs, before, after = (network.activations(X)[layer] for network in (OWN, first, last))
        for place, node in itertools.product(range(2), range(WIDTHS[layer])):
            own = theirs[place, node]
            if own.std() == 0:
                assert (SEEDS[place], node) not in ticket.index
                continue
            seen += 1
            assert ticket[SEEDS[place], node] == pytest.approx(max(pearson(own, j) for j in before[place]), abs=1e-4)
            fan_out = last.weights[layer + 1][place].norm(dim=0)
            size = fan_out * after[place].std(dim=1)
            stands = [pearson(own, j) > 0.9 and size[k] >= 0.1 * size.max() for k, j in enumerate(after[place])]
            assert found[SEEDS[place], node] == any(stands)
    assert seen > 10
    assert (node_values(table, "close", 1) == 1).all()
    assert (node_values(table, "found", 1).xs(1, level="node") == 0).all()


def test_a_copied_teacher_is_covered_and_renumbered_students_change_nothing() -> None:
    students = copies()
    table = measured(random_students(), students)
    order = torch.randperm(MULTIPLIER * WIDTHS[0], generator=torch.Generator().manual_seed(0))
    students.weights[0], students.biases[0] = students.weights[0][:, order], students.biases[0][:, order]
    students.weights[1] = students.weights[1][:, :, order]
    pd.testing.assert_frame_equal(table, measured(random_students(), students), rtol=1e-4)
    for layer in LAYERS:
        assert (node_values(table, "close", layer) == 1).all()
    cover = table[table["quantity"] == "cover"].groupby("epoch")["value"].mean()
    assert cover[EPOCHS] == 1
    assert cover[0] < 1


def test_random_students_are_predicted_and_copies_are_not() -> None:
    """14 values with mean 1/2 and standard deviation 0.29 if they are as predicted: within 4 standard errors."""
    table, lucky = measured(random_students(), copies()), measured(copies(), copies())
    luck = table[table["quantity"] == "luck"]["value"].dropna()
    assert luck.mean() == pytest.approx(0.5, abs=4 * 0.29 / len(luck) ** 0.5)
    assert (lucky[lucky["quantity"] == "luck"]["value"].dropna() == 1).all()


def test_a_diverged_seed_has_no_end() -> None:
    last = copies()
    last.weights[1][1] = torch.nan
    table = measured(random_students(), last)
    known = table[table["epoch"] == EPOCHS].groupby("seed")["value"].count()
    assert known[0] > 0
    assert known[2] == 0


# --- claims -----------------------------------------------------------------------------------------------------------

PROJECT = Project(ROOT, scale="paper")
NAME = "tickets-and-cover"


def made(*, gain: float = 0.1, luck: float = 1.0, missed: float = 0.0, epochs: dict | None = None) -> Results:
    """Results in which more students find more (gain), by better tickets (luck), as predicted but for `missed`."""
    draw, rows = np.random.default_rng(0), []
    variants = PROJECT.variants(NAME)
    for variant, (run, _) in variants.items():
        m, last = run.source.settings.student.multiplier, (epochs or {}).get(variant, 100)
        expected = best_direction(10 * m, 20)
        for seed, layer in itertools.product(range(8), range(4)):
            for node in range(20):
                ticket = expected + 0.001 * draw.standard_normal() + missed
                chance = draw.standard_normal() + luck * (ticket - expected - missed) / 0.001 + gain * 5 * np.log(m)
                values = {"ticket": ticket, "predicted_ticket": expected, "found": float(chance > 0.8)}
                for quantity, value in values.items():
                    at = last if quantity == "found" else 0
                    rows.append((variant, seed, at, layer, node, quantity, value))
            for epoch in (0, 2, last):
                level = 0.3 + gain * np.log(m) + 0.001 * draw.standard_normal()
                rows.append((variant, seed, epoch, layer, pd.NA, "cover", level))
    columns = ["variant", "seed", "epoch", "layer", "node", "quantity", "value"]
    table = pd.DataFrame(rows, columns=columns).astype({"layer": "Int64", "node": "Int64"})
    runs = {variant: run for variant, (run, _) in variants.items()}
    labels = {variant: its for variant, (_, its) in variants.items()}
    return Results(NAME, PROJECT.experiment(NAME), "paper", table, runs, labels, [], {}, {})


def outcomes(results: Results) -> dict[str, str]:
    return judge(NAME, PROJECT.claims[NAME], {NAME: results}, "paper").outcomes


def test_results_as_claimed_support_every_check() -> None:
    assert set(outcomes(made()).values()) == {SUPPORTS}


def test_each_failure_is_noticed_by_its_checks_alone() -> None:
    fewer = outcomes(made(gain=-0.1))
    assert {name for name, outcome in fewer.items() if outcome == CONTRADICTS} == {"more-found", "each-step"}
    unlucky = outcomes(made(luck=-1.0))
    assert {name for name, outcome in unlucky.items() if outcome == CONTRADICTS} == {
        "better-ticket",
        "better-ticket-each",
    }
    for missed in (0.05, -0.05):
        unpredicted = outcomes(made(missed=missed))
        wrong = {name for name, outcome in unpredicted.items() if outcome == CONTRADICTS}
        assert wrong == {"as-predicted", "random-directions"}


def test_tickets_that_do_not_matter_support_no_check_on_them() -> None:
    assert outcomes(made(luck=0.0))["better-ticket-each"] == UNDECIDED


def test_found_nodes_are_compared_after_equally_many_epochs_alone() -> None:
    judged = judge(NAME, PROJECT.claims[NAME], {NAME: made(epochs={"m1": 50})}, "paper")
    assert "more-found" not in judged.outcomes
    assert "equally long" in judged.note


def test_pairs_are_made_within_a_layer_and_a_multiplier() -> None:
    """Layer 1 has the better tickets and finds less: all pairs across layers would be lost."""
    rows = [
        (0, 1, 0, 0, 0.2, 1), (0, 1, 0, 1, 0.1, 0), (0, 1, 1, 0, 0.9, 1), (0, 1, 1, 1, 0.8, 0), (0, 1, 1, 2, 0.95, 0),
        (0, 2, 0, 0, 0.5, 0), (1, 1, 0, 0, 0.5, 1),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["seed", "multiplier", "layer", "node", "ticket", "found"])
    assert advantage(table).to_dict() == {0: pytest.approx(2 / 3 - 0.5)}
