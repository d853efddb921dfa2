"""Claims on how the overlap ρ̄ and the mean ranks move: a function a check, results in, effect out.

A seed that diverged is NaN, and counts as the worst outcome (``statistics.with_diverged``).
"""

import itertools
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pandas as pd

from luckmatters.judging.curves import (
    at,
    at_end,
    beside,
    change,
    curve,
    curves,
    gap_closed,
    last_epoch,
    lowest_over,
    mean_over_layers,
    named,
    on_the_way,
    until,
)
from luckmatters.judging.published import agreement
from luckmatters.judging.statistics import (
    Effect,
    LacksDataError,
    Measure,
    difference,
    in_every_cell,
    independent_difference,
    log_spread_ratio,
)
from luckmatters.learning.shapes import student_widths
from luckmatters.tables.results import Results

# To ask whether winners are settled within two epochs, a run must be much longer than that: a winner is by definition
# first at the end.
LONG_RUN = 10
# The published lowest layer is plainly sooner than the others from the fifth epoch on.
FIRST_SEEN = 6
TENTH = 0.1
# A slope over fewer multipliers is a single comparison.
FEWEST_MULTIPLIERS = 3
LARGEST_OF_LOSSES = 20


def growth(results: Results, **labels: str) -> Effect:
    """Final minus initial ρ̄, in every layer of every variant with these labels."""
    return in_every_cell(*map(change, curves(results, **labels).values()))


def lowest_layer(sizes: Results) -> Effect:
    """Final ρ̄ of the small teacher's lowest layer without BatchNorm."""
    return in_every_cell(at_end(curve(sizes, teacher="small", batch_norm="no-bn"))[0])


def second_layer(multipliers: Results) -> Effect:
    """ρ̄ of the second layer on 192 samples, m = 10 with own teachers, against the published curve.

    At the last epoch that both have.
    """
    labels = {"multiplier": "m10", "batch_norm": "no-bn"}
    (variant, ours), = curves(multipliers, "correlation_192", **labels).items()  # fmt: skip
    if variant not in multipliers.published:
        raise LacksDataError("there is no published curve at this scale")
    frame = multipliers.published[variant]
    levels = frame[(frame["quantity"] == "correlation_192") & (frame["layer"] == 1)].dropna(subset="value")
    both = levels[levels["epoch"].isin(ours.index.get_level_values("epoch"))]
    if both.empty:
        raise LacksDataError("no epoch was both published and run")
    level = both.loc[both["epoch"].idxmax()]
    return agreement(at(ours, level["epoch"])[1], level["value"], level["seeds"], level["uncertainty"])


def above_control(sizes: Results) -> Effect:
    """Final ρ̄ minus that of the same students with an unrelated teacher, in every layer of every variant."""
    return in_every_cell(*(at_end(own) - at_end(other) for own, other in beside(sizes, "correlation", "control")))


def above_floor(sizes: Results) -> Effect:
    """Final ρ̄ minus the floor, the best ρ of teacher nodes with others of their layer; in every layer and variant."""
    return in_every_cell(*(at_end(own) - at(floor, 0) for own, floor in beside(sizes, "correlation", "floor")))


def becomes_its_teacher(two: Results) -> Effect:
    """Growth of ρ̄ with the given teacher minus that with the other one, in every layer, for both teachers."""
    return in_every_cell(*(change(own) - change(other) for own, other in beside(two, "correlation", "control")))


def not_the_other(two: Results) -> Effect:
    """A tenth of the growth with the given teacher minus the growth with the other one."""
    return in_every_cell(*(TENTH * change(own) - change(other) for own, other in beside(two, "correlation", "control")))


def lowest_best(sizes: Results) -> Effect:
    """Final ρ̄ of the lowest layer minus that of each other layer, in every variant."""
    return in_every_cell(*(lowest_over(at_end(rho)) for rho in curves(sizes).values()))


def lowest_first(sizes: Results) -> Effect:
    """Gap closed, averaged over epochs: the lowest layer minus each other, in every variant that is long enough."""
    long, note = long_runs(curves(sizes), FIRST_SEEN)
    return in_every_cell(*(lowest_over(on_the_way(gap_closed(rho))) for rho in long), note=note)


def ordered(sizes: Results) -> Effect:
    """Final ρ̄ of each layer minus that of the layer above, in every variant."""
    return in_every_cell(*(-at_end(rho).diff(axis=1).iloc[:, 1:] for rho in curves(sizes).values()))


def long_runs(found: dict[str, pd.DataFrame], epochs: int) -> tuple[list[pd.DataFrame], str]:
    """The curves of variants that ran that long, and a remark on the others. Raises LacksDataError if none did."""
    short = [variant for variant, table in found.items() if last_epoch(table) < epochs]
    if len(short) == len(found):
        raise LacksDataError(f"no variant ran for {epochs} epochs")
    long = [table for variant, table in found.items() if variant not in short]
    return long, named(short, f"left out: fewer than {epochs} epochs")


def chance_rank(students: int) -> float:
    """The mean rank of a student chosen at random among so many, as a share of them: ranks go from 0 to n − 1."""
    return (students - 1) / (2 * students)


def by_chance(results: Results, **labels: str) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Of each variant r̄ at epoch 0 and what chance would give, both with a column a layer."""
    found = []
    for variant, rank in curves(results, "mean_rank", **labels).items():
        start, widths = at(rank, 0), student_widths(results.runs[variant])
        found.append((start, pd.DataFrame({layer: chance_rank(widths[layer]) for layer in start}, index=start.index)))
    return found


def head_start(results: Results, **labels: str) -> Effect:
    """How far below chance the final winners' mean rank is at epoch 0, in every layer of every variant."""
    return in_every_cell(*(chance - rank for rank, chance in by_chance(results, **labels)))


def far_ahead(sizes: Results) -> Effect:
    """The share of the way from chance to always first at epoch 0, averaged over layers, in every variant."""
    return in_every_cell(*(mean_over_layers(1 - rank / chance) for rank, chance in by_chance(sizes)))


def rank_falls(sizes: Results) -> Effect:
    """How far the mean rank falls in two epochs in every layer, in runs that are long enough to ask."""
    long, note = long_runs(curves(sizes, "mean_rank"), LONG_RUN)
    return in_every_cell(*(at(rank, 0) - at(rank, 2) for rank in long), note=note)


def ends_where_it_started(sizes: Results) -> Effect:
    """Share of students whose closest teacher node is the one of epoch 0, minus what independence would give."""
    pairs = beside(sizes, "keeps_teacher", "keeps_teacher_chance")
    return in_every_cell(*(at_end(keeps) - at_end(chance) for keeps, chance in pairs))


def faster(results: Results, ours: str, theirs: str, **labels: str) -> Effect:
    """ρ̄ averaged over layers and the epochs that both ran, of one label of batch-norm minus another's, by seed."""
    both = [curve(results, batch_norm=norm, **labels) for norm in (ours, theirs)]
    first, second = (mean_over_layers(on_the_way(until(rho, last_epoch(*both)))) for rho in both)
    return in_every_cell(difference(first, second))


def small_teacher_faster(sizes: Results, norm: str) -> Effect:
    """Gap closed: small teacher after half the epochs that both ran, minus large teacher after all of them."""
    small, large = (curve(sizes, teacher=size, batch_norm=norm) for size in ("small", "large"))
    last = last_epoch(small, large)
    early, late = at(gap_closed(small), last // 2), at(gap_closed(large), last)
    return independent_difference(mean_over_layers(early), mean_over_layers(late))


def size(label: str) -> int:
    """The multiplier that a label names."""
    return int(label.removeprefix("m"))


def multipliers(table: Results) -> list[str]:
    """The labels of all multipliers without BatchNorm, smallest first."""
    return sorted({its["multiplier"] for its in table.labels.values() if its["batch-norm"] == "no-bn"}, key=size)


def plain(table: Results, multiplier: str, quantity: str = "correlation") -> pd.Series:
    """A quantity of the students without BatchNorm averaged over layers, by seed and epoch."""
    return mean_over_layers(curve(table, quantity, multiplier=multiplier, batch_norm="no-bn"))


def m1_unstable(starts: Results) -> Effect:
    """log ratio of the spreads of final ρ̄ over initial weights, m = 1 to m = 10, with one and the same teacher."""
    one, ten = (mean_over_layers(curve(starts, multiplier=m)) for m in ("m1", "m10"))
    last = last_epoch(one, ten)
    return log_spread_ratio(at(one, last), at(ten, last))


def m1_losses(starts: Results) -> Effect:
    """The same of the logarithm of the final loss."""
    one, ten = (mean_over_layers(curve(starts, "loss", multiplier=m)) for m in ("m1", "m10"))
    last = last_epoch(one, ten)
    return log_spread_ratio(np.log(at(one, last)), np.log(at(ten, last)))


def m10_beats_m1(table: Results) -> Effect:
    """ρ̄ at the last epoch that both ran, m = 10 minus m = 1."""
    one, ten = (plain(table, m) for m in ("m1", "m10"))
    last = last_epoch(one, ten)
    return in_every_cell(difference(at(ten, last), at(one, last)))


def m50_slower(table: Results) -> Effect:
    """ρ̄ averaged over the epochs that both ran, m = 10 minus m = 50."""
    ten, fifty = (plain(table, m) for m in ("m10", "m50"))
    ten, fifty = (on_the_way(until(rho, last_epoch(ten, fifty))) for rho in (ten, fifty))
    return in_every_cell(difference(ten, fifty))


def more_tickets(table: Results) -> Effect:
    """Initial ρ̄ of each multiplier minus that of the next smaller one, by the seeds that both have."""
    initial = [at(plain(table, m), 0) for m in multipliers(table)]
    return in_every_cell(*(difference(more, less) for less, more in itertools.pairwise(initial)))


def loss_falls(table: Results) -> Effect:
    """Slope of the log loss on log m with its sign turned, at the last epoch that all ran, by seed.

    A seed counts with the multipliers that it was trained at, if there are three or more.
    """
    losses = {size(m): plain(table, m, "loss") for m in multipliers(table) if size(m) <= LARGEST_OF_LOSSES}
    last = last_epoch(*losses.values())
    ends = {m: np.log(at(loss, last)) for m, loss in losses.items()}
    slopes = {}
    for seed in sorted(set().union(*(end.index for end in ends.values()))):
        own = {np.log(m): end[seed] for m, end in ends.items() if seed in end.index}
        if len(own) >= FEWEST_MULTIPLIERS:
            slopes[seed] = -slope(np.array(list(own)), np.array(list(own.values())))
    return in_every_cell(pd.Series(slopes, dtype=float))


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """Of the least-squares line; NaN where any y is."""
    centered = x - x.mean()
    return float(centered @ y / (centered @ centered))


def finite_and_not(table: Results, network: str) -> list[tuple[pd.Series, pd.Series, int]]:
    """ρ̄ averaged over layers with infinite and with finite data, and the last epoch of both; a tuple a norm."""
    found = []
    for norm in ("no-bn", "bn"):
        both = [curve(table, network=network, data=data, batch_norm=norm) for data in ("infinite", "finite")]
        found.append((*map(mean_over_layers, both), last_epoch(*both)))
    return found


def behind(table: Results, network: str) -> Effect:
    """ρ̄ with infinite minus finite data at the end, with and without BatchNorm."""
    pairs = finite_and_not(table, network)
    return in_every_cell(*(difference(at(infinite, end), at(finite, end)) for infinite, finite, end in pairs))


def late(rho: pd.Series, end: int) -> pd.Series:
    """Growth over the second half of the epochs."""
    return at(rho, end) - at(rho, end // 2)


def grows_less(table: Results, network: str) -> Effect:
    """Growth of ρ̄ over the second half of the epochs with infinite minus finite data."""
    pairs = finite_and_not(table, network)
    return in_every_cell(*(difference(late(infinite, end), late(finite, end)) for infinite, finite, end in pairs))


def stalls(table: Results, network: str) -> Effect:
    """Growth of ρ̄ over the second half of the epochs on finite data, with its sign turned."""
    return in_every_cell(*(-late(finite, end) for _, finite, end in finite_and_not(table, network)))


def same_rate(table: Results, networks: Iterable[str]) -> list[str]:
    """The kinds of network that were trained with and without BatchNorm at the same learning rate."""
    rates = {
        (its["network"], its["batch-norm"]): table.runs[variant].settings.training.learning_rate
        for variant, its in table.labels.items()
    }
    return [network for network in networks if rates.get((network, "bn")) == rates.get((network, "no-bn"))]


def reaches(table: Results, network: str) -> Effect:
    """Final accuracy minus the teacher's on the same images, with and without BatchNorm."""
    pairs = beside(table, "accuracy", "teacher_accuracy", network=network)
    return in_every_cell(*(at_end(ours) - at(its, last_epoch(its)) for ours, its in pairs))


def at_one_rate(
    table: Results, quantity: str, of: Callable[[pd.DataFrame], pd.DataFrame]
) -> list[tuple[pd.Series, pd.Series]]:
    """What `of` makes of a quantity, averaged over layers, without and with BatchNorm; where both had the same rate."""
    found = []
    for network in same_rate(table, ("fc", "conv")):
        both = (curve(table, quantity, network=network, batch_norm=norm) for norm in ("no-bn", "bn"))
        found.append(tuple(mean_over_layers(of(one)) for one in both))
    if not found:
        raise LacksDataError("no kind of network has the same learning rate with and without BatchNorm")
    return found


def improves_rank(table: Results) -> Effect:
    """Mean rank averaged over layers and epochs, without minus with BatchNorm."""
    pairs = at_one_rate(table, "mean_rank", on_the_way)
    return in_every_cell(*(difference(-normed, -without) for without, normed in pairs))


def not_overlap(table: Results) -> Effect:
    """Growth of ρ̄ averaged over layers, without minus with BatchNorm."""
    return in_every_cell(*(difference(*pair) for pair in at_one_rate(table, "correlation", change)))


# Of each claim: its experiments, and of each of these the checks with the function that gives their effect.
CLAIMS: dict[str, dict[str, dict[str, Measure]]] = {
    "recovery": {
        "teacher-size": {
            "grows": growth,
            "lowest-layer": lowest_layer,
            "above-control": above_control,
            "above-floor": above_floor,
        },
        "over-param": {"second-layer": second_layer},
        "gaus-conv": {"conv-grows": partial(growth, network="conv")},
        "cifar-conv": {"cifar-grows": growth},
    },
    "pandoras-box": {
        "two-teachers": {"becomes-its-teacher": becomes_its_teacher, "not-the-other": not_the_other},
    },
    "low-first": {
        "teacher-size": {"lowest-best": lowest_best, "lowest-first": lowest_first, "ordered": ordered},
    },
    "luck-keeps": {
        "teacher-size": {
            "every-layer-ahead": head_start,
            "far-ahead": far_ahead,
            "falls": rank_falls,
            "ends-where-it-started": ends_where_it_started,
        },
        "gaus-conv": {"conv-ahead": partial(head_start, network="conv")},
        "cifar-conv": {"cifar-ahead": head_start},
    },
    "bn-helps-large": {
        "teacher-size": {
            "large-with-bn": partial(faster, ours="bn", theirs="no-bn", teacher="large"),
            "small-without-bn": partial(faster, ours="no-bn", theirs="bn", teacher="small"),
        },
        "gaus-conv": {"conv-with-bn": partial(faster, ours="bn", theirs="no-bn", network="conv")},
    },
    "small-teacher-faster": {
        "teacher-size": {norm: partial(small_teacher_faster, norm=norm) for norm in ("no-bn", "bn")},
    },
    "over-param-helps": {
        "over-param": {
            "m10-beats-m1": m10_beats_m1,
            "m50-slower": m50_slower,
            "more-tickets": more_tickets,
            "loss-falls": loss_falls,
        },
        "starts": {"m1-unstable": m1_unstable, "m1-losses": m1_losses},
    },
    "finite-stalls": {
        "finite-data": {
            f"{prefix}{name}": partial(measure, network=network)
            for network, prefix in (("fc", ""), ("conv", "conv-"))
            for name, measure in {"behind": behind, "grows-less": grows_less, "stalls": stalls}.items()
        },
    },
    "cifar-students": {
        "cifar-conv": {
            "fc-reaches": partial(reaches, network="fc"),
            "conv-reaches": partial(reaches, network="conv"),
            "bn-improves-rank": improves_rank,
            "bn-not-overlap": not_overlap,
        },
    },
}
