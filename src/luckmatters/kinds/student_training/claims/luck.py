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

# A winner is by definition first at the end. Whether winners are settled within two epochs is only a question in a run
# that is much longer.
LONG_RUN = 10


def chance_rank(students: int) -> float:
    """The mean rank of a student chosen at random among n students, as a share of n: ranks go from 0 to n − 1."""
    return (students - 1) / (2 * students)


def by_chance(results: Results, which: Variants = EVERY) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """r̄ at epoch 0 and by chance, a pair a variant; both tables have a row a seed and a column a layer."""
    pairs = []
    for variant, rank in curves(results, "mean_rank", which).items():
        start, widths = at(rank, 0), student_widths(results.runs[variant])
        pairs.append((start, pd.DataFrame({layer: chance_rank(widths[layer]) for layer in start}, index=start.index)))
    return pairs


def head_start(results: Results, which: Variants = EVERY) -> Effect:
    """Mean rank by chance minus that of the final winners at epoch 0, in every layer of the chosen variants."""
    return in_every_cell(*(chance - rank for rank, chance in by_chance(results, which)))


def far_ahead(results: Results) -> Effect:
    """1 − mean rank over chance at epoch 0, averaged over layers, in every variant: 0 is chance, 1 is always first."""
    return in_every_cell(*(mean_over_layers(1 - rank / chance) for rank, chance in by_chance(results)))


def rank_falls(results: Results) -> Effect:
    """Mean rank at epoch 0 minus mean rank at epoch 2, in every layer, in runs of LONG_RUN epochs or more."""
    long, note = long_runs(curves(results, "mean_rank"), LONG_RUN)
    return in_every_cell(*(at(rank, 0) - at(rank, 2) for rank in long), note=note)


def ends_where_it_started(results: Results) -> Effect:
    """Share of students with the same closest teacher node as at epoch 0, minus the share under independence."""
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
