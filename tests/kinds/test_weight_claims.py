"""Claims on weights, on made-up curves whose answers are known."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from luckmatters.config import Project
from luckmatters.kinds.student_training.claims.weights import LUCKY
from luckmatters.ledger import CONTRADICTS, SUPPORTS, judge
from luckmatters.settings.experiment import Run
from luckmatters.tables.results import Results

PROJECT = Project(ROOT, scale="paper")
SEEDS, EPOCHS = range(6), range(5)


def made(name: str, quantities: dict[str, Callable[[Run, int, int], float]]) -> Results:
    """Results of an experiment; quantities: of each a function of run, layer and epoch, to which seeds add a little."""
    variants, rows = PROJECT.variants(name), []
    for (variant, (run, _)), seed, epoch in itertools.product(variants.items(), SEEDS, EPOCHS):
        for (quantity, value), layer in itertools.product(quantities.items(), range(len(run.teacher.widths))):
            rows.append((variant, seed, epoch, layer, quantity, value(run, layer, epoch) + 1e-4 * np.sin(seed)))
    columns = ["variant", "seed", "epoch", "layer", "quantity", "value"]
    table = pd.DataFrame(rows, columns=columns).astype({"layer": "Int64"})
    runs, labels = ({v: pair[place] for v, pair in variants.items()} for place in (0, 1))
    return Results(name, PROJECT.experiment(name), "paper", table, runs, labels, [], {}, {})


def outcomes(claim: str, results: Results) -> dict[str, str]:
    return judge(claim, PROJECT.claims[claim], {results.name: results}, "paper").outcomes


def weights(end: float = 0.7, lowest: float = 0.995, floor: float = 0.2, elsewhere: float = 0.7) -> Results:
    """Cosines that rise from 0.2; end, lowest: of the students that are asked to converge; floor: at the end."""

    def cosine(run: Run, layer: int, epoch: int) -> float:
        last = (end if layer else lowest) if LUCKY(run) else elsewhere
        return 0.2 + (last - 0.2) * epoch / EPOCHS[-1]

    def control(run: Run, layer: int, epoch: int) -> float:
        return 0.2 + (floor - 0.2) * epoch / EPOCHS[-1]

    return made("weights", {"weight_cosine": cosine, "control_weight_cosine": control})


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, set()),
        ({"end": 0.59}, {"half-way"}),  # (0.59 - 0.2) / 0.8 is below a half
        ({"end": 0.61}, set()),
        ({"end": 0.61, "floor": 0.25}, {"half-way"}),  # the floor at the end counts
        ({"lowest": 0.98}, {"lowest-layer"}),
        ({"elsewhere": 0.19}, {"nearer"}),
    ],
)
def test_weights_converge_where_they_leave_the_floor(changes: dict, failed: set) -> None:
    found = outcomes("weights-converge", weights(**changes))
    assert len(found) == 3
    for name, outcome in found.items():
        assert outcome == (CONTRADICTS if name in failed else SUPPORTS), name


def slowing(by_nodes: float = 1.0, by_bias: float = 1.0) -> Results:
    """Curves that close their gap at rates which fall with the number of nodes and with the bias."""

    def closing(run: Run, layer: int, epoch: int) -> float:
        rate = 0.5 - by_nodes * 0.1 * np.log10(run.teacher.widths[0]) - by_bias * 0.1 * (run.teacher.bias or 0)
        return 1 - 0.6 * np.exp(-rate * epoch)

    return made("overlap-slows", {"weight_cosine": closing, "correlation": closing})


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, set()),
        ({"by_nodes": -1.0}, {"more-nodes", "more-nodes-overlap"}),
        ({"by_bias": -1.0}, {"more-overlap"}),
    ],
)
def test_slowing_is_judged_by_nodes_and_by_bias_apart(changes: dict, failed: set) -> None:
    found = outcomes("overlap-slows", slowing(**changes))
    assert len(found) == 3
    for name, outcome in found.items():
        assert outcome == (CONTRADICTS if name in failed else SUPPORTS), name
