"""Claims on the nodes that carry structured and random data.

A seed whose student does not fit the training set is NaN, and counts as the worst outcome.
"""

import numpy as np
import pandas as pd

from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, LacksDataError, in_every_cell, sign_effect, slope
from luckmatters.judging.variants import EVERY, Variants, one, teacher
from luckmatters.settings.experiment import Run
from luckmatters.tables.results import Results

# Least number of teachers of different size for a slope: a slope over two is a single comparison.
FEWEST_TEACHERS = 3

GAUS = Variants("GAUS", lambda run: run.trained.settings.data.kind == "gaus")
CIFAR = Variants("CIFAR-10", lambda run: run.trained.settings.data.kind == "cifar10")
PERMUTED = Variants("permuted targets", lambda run: bool(run.trained.settings.data.finite.shuffled))
STRUCTURED = Variants("targets of their own samples", lambda run: not PERMUTED(run))
SMALL = one(GAUS & STRUCTURED & teacher("gaus-fc-small"))
RANDOM = one(GAUS & PERMUTED)
TRUE_LABELS, PERMUTED_LABELS = one(CIFAR & STRUCTURED), one(CIFAR & PERMUTED)


def by_seed(results: Results, quantity: str, which: Variants = EVERY) -> dict[str, pd.DataFrame]:
    """A quantity by variant: index seed, a column for each layer. Raises LacksDataError if a variant is missing."""
    rows = results.select(quantity, which)
    by_variant = {
        variant: part.pivot(index="seed", columns="layer", values="value") for variant, part in rows.groupby("variant")
    }
    if not by_variant or (which.single and len(by_variant) > 1):
        raise LacksDataError(f"{results.name} has {len(by_variant) or 'no'} variants with {quantity} ({which.text})")
    return by_variant


def single(results: Results, quantity: str, which: Variants) -> pd.DataFrame:
    """A quantity in the only variant that passes `which`: index seed, a column for each layer."""
    return next(iter(by_seed(results, quantity, one(which)).values()))


def minus(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Ours minus theirs over common seeds; NaN, the worst outcome, where either student does not fit."""
    ours, theirs = ours.align(theirs, join="inner", axis=0)
    return ours - theirs


def fits(results: Results) -> Effect:
    """The share of seeds that fit the training set, with exact limits, in the variant with the smallest share."""
    tables = by_seed(results, "fitted_epoch").values()
    effects = [sign_effect(table.notna().all(axis=1).map({True: 1.0, False: -1.0})) for table in tables]
    return min(effects, key=lambda effect: effect.low)


def fewer(results: Results, few: Variants, many: Variants) -> Effect:
    """log ratio of the effective numbers of nodes of two variants, in every layer."""
    return in_every_cell(minus(np.log(single(results, "nodes", many)), np.log(single(results, "nodes", few))))


def fewer_essential(results: Results, few: Variants, many: Variants) -> Effect:
    """The number of essential nodes of a variant minus that of another, in every layer."""
    return in_every_cell(minus(single(results, "essential", many), single(results, "essential", few)))


def explained(results: Results, which: Variants) -> Effect:
    """The share of the outputs' variance that students explain on new samples."""
    return in_every_cell(1 - single(results, "test_error", which))


def more_accurate(results: Results, ours: Variants, theirs: Variants) -> Effect:
    """The accuracy on test images of a variant minus that of another."""
    return in_every_cell(minus(single(results, "accuracy", ours), single(results, "accuracy", theirs)))


def several_on_each(results: Results, small: Variants) -> Effect:
    """log ratio of students per teacher node, of a small teacher to the largest teacher, in every layer."""
    largest = max(structured_sizes(results).items(), key=lambda item: item[1])[0]
    tables = by_seed(results, "students_per_teacher", GAUS & STRUCTURED)
    return in_every_cell(minus(np.log(single(results, "students_per_teacher", small)), np.log(tables[largest])))


def grows_with_teacher(results: Results, quantity: str) -> Effect:
    """The slope of the log of a quantity on the log of the teacher's size, in every layer that has the quantity."""
    sizes = structured_sizes(results)
    if len(sizes) < FEWEST_TEACHERS:
        raise LacksDataError(f"{results.name} has fewer than {FEWEST_TEACHERS} teachers of different size")
    tables = by_seed(results, quantity, GAUS & STRUCTURED)
    logs = np.log(pd.concat([tables[variant] for variant in sizes], keys=sizes))
    x = np.log(list(sizes.values()))
    return in_every_cell(logs.groupby("seed").agg(lambda values: slope(x, values.to_numpy())))


def structured_sizes(results: Results) -> dict[str, int]:
    """The hidden nodes of the teacher of each variant with structured GAUS data, by name, smallest first."""
    chosen = GAUS & STRUCTURED
    sizes = {variant: size(run) for variant, run in results.runs.items() if chosen(run)}
    return dict(sorted(sizes.items(), key=lambda item: item[1]))


def size(run: Run) -> int:
    """The number of hidden nodes of a run's teacher."""
    return sum(run.teacher.widths)


CLAIM, EXPERIMENT = "structured-vs-random", "structured-vs-random"

EVIDENCE = [
    evidence(CLAIM, "fits", EXPERIMENT, fits, needs=(SMALL, RANDOM, TRUE_LABELS, PERMUTED_LABELS)),
    evidence(CLAIM, "few-nodes", EXPERIMENT, fewer, few=SMALL, many=RANDOM),
    evidence(CLAIM, "half-the-nodes", EXPERIMENT, fewer, few=SMALL, many=RANDOM),
    evidence(CLAIM, "generalizes", EXPERIMENT, explained, which=SMALL),
    evidence(CLAIM, "cifar-few-nodes", EXPERIMENT, fewer, few=TRUE_LABELS, many=PERMUTED_LABELS),
    evidence(CLAIM, "more-with-teacher", EXPERIMENT, grows_with_teacher, quantity="nodes"),
    evidence(CLAIM, "essential-fewer", EXPERIMENT, fewer_essential, few=SMALL, many=RANDOM),
    evidence(CLAIM, "several-on-each", EXPERIMENT, several_on_each, small=SMALL),
    evidence(CLAIM, "error-with-teacher", EXPERIMENT, grows_with_teacher, quantity="test_error"),
    evidence(CLAIM, "cifar-generalizes", EXPERIMENT, more_accurate, ours=TRUE_LABELS, theirs=PERMUTED_LABELS),
]
