"""Claims on luck: final winners were ahead before training, and take the lead early."""

import pandas as pd

from luckmatters.judging.curves import (
    at,
    at_end,
    beside,
    curves,
    mean_over_layers,
)
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, in_every_cell
from luckmatters.judging.variants import CONV, EVERY, Variants
from luckmatters.kinds.student_training.claims.growth import long_runs
from luckmatters.learning.shapes import student_widths
from luckmatters.tables.results import Results

# To ask whether winners are settled within two epochs, a run must be much longer than that: a winner is by definition
# first at the end.
LONG_RUN = 10


def chance_rank(students: int) -> float:
    """The mean rank of a student chosen at random among so many, as a share of them: ranks go from 0 to n − 1."""
    return (students - 1) / (2 * students)


def by_chance(results: Results, which: Variants = EVERY) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Of each variant r̄ at epoch 0 and what chance would give, both with a column a layer."""
    found = []
    for variant, rank in curves(results, "mean_rank", which).items():
        start, widths = at(rank, 0), student_widths(results.runs[variant])
        found.append((start, pd.DataFrame({layer: chance_rank(widths[layer]) for layer in start}, index=start.index)))
    return found


def head_start(results: Results, which: Variants = EVERY) -> Effect:
    """How far below chance the final winners' mean rank is at epoch 0, in every layer of the chosen variants."""
    return in_every_cell(*(chance - rank for rank, chance in by_chance(results, which)))


def far_ahead(results: Results) -> Effect:
    """The share of the way from chance to always first at epoch 0, averaged over layers, in every variant."""
    return in_every_cell(*(mean_over_layers(1 - rank / chance) for rank, chance in by_chance(results)))


def rank_falls(results: Results) -> Effect:
    """How far the mean rank falls in two epochs in every layer, in runs that are long enough to ask."""
    long, note = long_runs(curves(results, "mean_rank"), LONG_RUN)
    return in_every_cell(*(at(rank, 0) - at(rank, 2) for rank in long), note=note)


def ends_where_it_started(results: Results) -> Effect:
    """Share of students whose closest teacher node is the one of epoch 0, minus what independence would give."""
    pairs = beside(results, "keeps_teacher", "keeps_teacher_chance")
    return in_every_cell(*(at_end(keeps) - at_end(chance) for keeps, chance in pairs))


EVIDENCE = [
    evidence("luck-keeps", "every-layer-ahead", "teacher-size", head_start),
    evidence("luck-keeps", "far-ahead", "teacher-size", far_ahead),
    evidence("luck-keeps", "falls", "teacher-size", rank_falls),
    evidence("luck-keeps", "ends-where-it-started", "teacher-size", ends_where_it_started),
    evidence("luck-keeps", "conv-ahead", "gaus-conv", head_start, which=CONV),
    evidence("luck-keeps", "cifar-ahead", "cifar-conv", head_start),
]
