"""Claims on BatchNorm, the teacher's size, finite data and CIFAR-10."""

from collections.abc import Callable

import pandas as pd

from luckmatters.judging.curves import (
    at,
    at_end,
    beside,
    change,
    curve,
    gap_closed,
    last_epoch,
    mean_over_layers,
    on_the_way,
    until,
)
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import (
    Effect,
    LacksDataError,
    difference,
    in_every_cell,
    independent_difference,
)
from luckmatters.judging.variants import CONV, FINITE, FULLY_CONNECTED, INFINITE, NORMED, PLAIN, Variants, one, teacher
from luckmatters.tables.results import Results

NETWORKS = FULLY_CONNECTED, CONV


def faster(results: Results, ours: Variants, theirs: Variants) -> Effect:
    """ρ̄ averaged over layers and the epochs that both variants ran, `ours` minus `theirs`, by seed."""
    both = [curve(results, which=which) for which in (ours, theirs)]
    first, second = (mean_over_layers(on_the_way(until(rho, last_epoch(*both)))) for rho in both)
    return in_every_cell(difference(first, second))


def small_teacher_faster(results: Results, small: Variants, large: Variants) -> Effect:
    """Gap closed: small teacher after half the epochs that both variants ran, minus large teacher after all epochs."""
    ours, theirs = curve(results, which=small), curve(results, which=large)
    last = last_epoch(ours, theirs)
    early, late = at(gap_closed(ours), last // 2), at(gap_closed(theirs), last)
    return independent_difference(mean_over_layers(early), mean_over_layers(late))


def finite_and_not(results: Results, network: Variants) -> list[tuple[pd.Series, pd.Series, int]]:
    """ρ̄ averaged over layers with infinite and with finite data, and the last epoch of both.

    A tuple without BatchNorm, then a tuple with BatchNorm.
    """
    pairs = []
    for norm in (PLAIN, NORMED):
        both = [curve(results, which=network & data & norm) for data in (INFINITE, FINITE)]
        pairs.append((*map(mean_over_layers, both), last_epoch(*both)))
    return pairs


def behind(results: Results, network: Variants) -> Effect:
    """ρ̄ at the end with infinite data minus ρ̄ with finite data, without and with BatchNorm."""
    pairs = finite_and_not(results, network)
    return in_every_cell(*(difference(at(infinite, end), at(finite, end)) for infinite, finite, end in pairs))


def late(rho: pd.Series, end: int) -> pd.Series:
    """Growth of ρ̄ over the second half of the epochs up to `end`."""
    return at(rho, end) - at(rho, end // 2)


def grows_less(results: Results, network: Variants) -> Effect:
    """Growth of ρ̄ over the second half of the epochs, with infinite data minus with finite data."""
    pairs = finite_and_not(results, network)
    return in_every_cell(*(difference(late(infinite, end), late(finite, end)) for infinite, finite, end in pairs))


def stalls(results: Results, network: Variants) -> Effect:
    """Minus the growth of ρ̄ over the second half of the epochs, with finite data."""
    return in_every_cell(*(-late(finite, end) for _, finite, end in finite_and_not(results, network)))


def same_rate(results: Results) -> list[Variants]:
    """The kinds of network that were trained with and without BatchNorm at the same learning rate."""

    def rates(which: Variants) -> list:
        return [run.settings.training.learning_rate for run in results.runs.values() if which(run)]

    return [network for network in NETWORKS if rates(network & NORMED) == rates(network & PLAIN) != []]


def reaches(results: Results, network: Variants) -> Effect:
    """Final accuracy of students minus that of the teacher on the same images, with and without BatchNorm."""
    pairs = beside(results, "accuracy", "teacher_accuracy", which=network)
    return in_every_cell(*(at_end(students) - at(teachers, last_epoch(teachers)) for students, teachers in pairs))


def at_one_rate(
    results: Results, quantity: str, of: Callable[[pd.DataFrame], pd.DataFrame]
) -> list[tuple[pd.Series, pd.Series]]:
    """A function `of` a quantity's curve, averaged over layers: a pair (without, with BatchNorm) a kind of network.

    Raises LacksDataError if no kind of network has the same learning rate with and without BatchNorm.
    """
    pairs = []
    for network in same_rate(results):
        both = (curve(results, quantity, network & norm) for norm in (PLAIN, NORMED))
        pairs.append(tuple(mean_over_layers(of(values)) for values in both))
    if not pairs:
        raise LacksDataError("no kind of network has the same learning rate with and without BatchNorm")
    return pairs


def improves_rank(results: Results) -> Effect:
    """Mean rank averaged over layers and epochs, without BatchNorm minus with BatchNorm."""
    pairs = at_one_rate(results, "mean_rank", on_the_way)
    return in_every_cell(*(difference(-normed, -without) for without, normed in pairs))


def not_overlap(results: Results) -> Effect:
    """Growth of ρ̄ averaged over layers, without BatchNorm minus with BatchNorm."""
    return in_every_cell(*(difference(*pair) for pair in at_one_rate(results, "correlation", change)))


SMALL, LARGE = teacher("gaus-fc-small"), teacher("gaus-fc-large")


def each_data(network: Variants) -> tuple[Variants, ...]:
    """The variants that a comparison of finite and infinite data needs."""
    return tuple(one(network & data & norm) for data in (FINITE, INFINITE) for norm in (PLAIN, NORMED))


def each_norm(network: Variants) -> tuple[Variants, ...]:
    """What a statement on students with and without BatchNorm needs."""
    return tuple(one(network & norm) for norm in (PLAIN, NORMED))


BOTH_NETWORKS = each_norm(FULLY_CONNECTED) + each_norm(CONV)
FC_DATA, CONV_DATA = each_data(FULLY_CONNECTED), each_data(CONV)

EVIDENCE = [
    evidence(
        "bn-helps-large", "large-with-bn", "teacher-size", faster,
        ours=one(LARGE & NORMED), theirs=one(LARGE & PLAIN),
    ),
    evidence(
        "bn-helps-large", "small-without-bn", "teacher-size", faster,
        ours=one(SMALL & PLAIN), theirs=one(SMALL & NORMED),
    ),
    evidence("bn-helps-large", "conv-with-bn", "gaus-conv", faster, ours=one(CONV & NORMED), theirs=one(CONV & PLAIN)),
    evidence(
        "small-teacher-faster", "no-bn", "teacher-size", small_teacher_faster,
        small=one(SMALL & PLAIN), large=one(LARGE & PLAIN),
    ),
    evidence(
        "small-teacher-faster", "bn", "teacher-size", small_teacher_faster,
        small=one(SMALL & NORMED), large=one(LARGE & NORMED),
    ),
    evidence("finite-stalls", "behind", "finite-data", behind, network=FULLY_CONNECTED, needs=FC_DATA),
    evidence("finite-stalls", "grows-less", "finite-data", grows_less, network=FULLY_CONNECTED, needs=FC_DATA),
    evidence("finite-stalls", "stalls", "finite-data", stalls, network=FULLY_CONNECTED, needs=FC_DATA),
    evidence("finite-stalls", "conv-behind", "finite-data", behind, network=CONV, needs=CONV_DATA),
    evidence("finite-stalls", "conv-grows-less", "finite-data", grows_less, network=CONV, needs=CONV_DATA),
    evidence("finite-stalls", "conv-stalls", "finite-data", stalls, network=CONV, needs=CONV_DATA),
    evidence(
        "cifar-students", "fc-reaches", "cifar-conv", reaches,
        network=FULLY_CONNECTED, needs=each_norm(FULLY_CONNECTED),
    ),
    evidence("cifar-students", "conv-reaches", "cifar-conv", reaches, network=CONV, needs=each_norm(CONV)),
    evidence("cifar-students", "bn-improves-rank", "cifar-conv", improves_rank, needs=BOTH_NETWORKS),
    evidence("cifar-students", "bn-not-overlap", "cifar-conv", not_overlap, needs=BOTH_NETWORKS),
]  # fmt: skip
