"""Claims on how ρ̄ grows: students become their teacher, lower layers first."""

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
    named,
    on_the_way,
)
from luckmatters.judging.evidence import evidence
from luckmatters.judging.published import agreement
from luckmatters.judging.statistics import Effect, LacksDataError, in_every_cell
from luckmatters.judging.variants import CONV, EVERY, PLAIN, Variants, multiplier, one, teacher
from luckmatters.tables.results import Results

# Least epochs of a run: in published curves the lowest layer is plainly ahead of the others from the fifth epoch on.
FIRST_SEEN = 6


TENTH = 0.1


def growth(results: Results, which: Variants = EVERY) -> Effect:
    """Final minus initial ρ̄, in every layer of the chosen variants."""
    return in_every_cell(*map(change, curves(results, which=which).values()))


def lowest_layer(results: Results, which: Variants) -> Effect:
    """Final ρ̄ of the lowest layer."""
    return in_every_cell(at_end(curve(results, which=which))[0])


def second_layer(results: Results, which: Variants) -> Effect:
    """ρ̄ of the second layer on 192 samples against the published curve, at the last epoch of both.

    Raises LacksDataError if no epoch was both published and run.
    """
    ((variant, ours),) = curves(results, "correlation_192", which).items()
    if variant not in results.published:
        raise LacksDataError("there is no published curve at this scale")
    frame = results.published[variant]
    levels = frame[(frame["quantity"] == "correlation_192") & (frame["layer"] == 1)].dropna(subset="value")
    both = levels[levels["epoch"].isin(ours.index.get_level_values("epoch"))]
    if both.empty:
        raise LacksDataError("no epoch was both published and run")
    level = both.loc[both["epoch"].idxmax()]
    return agreement(at(ours, level["epoch"])[1], level["value"], level["seeds"], level["uncertainty"])


def above_control(results: Results) -> Effect:
    """Final ρ̄ minus final ρ̄ of the same students with an unrelated teacher, in every layer of every variant."""
    return in_every_cell(*(at_end(own) - at_end(other) for own, other in beside(results, "correlation", "control")))


def above_floor(results: Results) -> Effect:
    """Final ρ̄ minus the floor, the best ρ of teacher nodes with others of their layer; in every layer and variant."""
    return in_every_cell(*(at_end(own) - at(floor, 0) for own, floor in beside(results, "correlation", "floor")))


def becomes_its_teacher(results: Results) -> Effect:
    """Growth of ρ̄ with the given teacher minus growth with the other teacher, in every layer, for both teachers."""
    return in_every_cell(*(change(own) - change(other) for own, other in beside(results, "correlation", "control")))


def not_the_other(results: Results) -> Effect:
    """A tenth of the growth with the given teacher minus the growth with the other teacher, in every layer."""
    return in_every_cell(
        *(TENTH * change(own) - change(other) for own, other in beside(results, "correlation", "control"))
    )


def lowest_best(results: Results) -> Effect:
    """Final ρ̄ of the lowest layer minus final ρ̄ of each other layer, in every variant."""
    return in_every_cell(*(lowest_over(at_end(rho)) for rho in curves(results).values()))


def lowest_first(results: Results) -> Effect:
    """Gap closed, averaged over epochs: the lowest layer minus each other layer, in variants that ran long enough."""
    long, note = long_runs(curves(results), FIRST_SEEN)
    return in_every_cell(*(lowest_over(on_the_way(gap_closed(rho))) for rho in long), note=note)


def ordered(results: Results) -> Effect:
    """Final ρ̄ of each layer minus final ρ̄ of the layer above, in every variant."""
    return in_every_cell(*(-at_end(rho).diff(axis=1).iloc[:, 1:] for rho in curves(results).values()))


def long_runs(found: dict[str, pd.DataFrame], epochs: int) -> tuple[list[pd.DataFrame], str]:
    """The curves of variants that ran for `epochs` epochs or more, and a remark on the other variants.

    found: curves by variant. Raises LacksDataError if no variant ran that long.
    """
    short = [variant for variant, table in found.items() if last_epoch(table) < epochs]
    if len(short) == len(found):
        raise LacksDataError(f"no variant ran for {epochs} epochs")
    long = [table for variant, table in found.items() if variant not in short]
    return long, named(short, f"left out: fewer than {epochs} epochs")


SMALL_PLAIN = one(teacher("gaus-fc-small") & PLAIN)

EVIDENCE = [
    evidence("recovery", "grows", "teacher-size", growth),
    evidence("recovery", "lowest-layer", "teacher-size", lowest_layer, which=SMALL_PLAIN),
    evidence("recovery", "above-control", "teacher-size", above_control),
    evidence("recovery", "above-floor", "teacher-size", above_floor),
    evidence("recovery", "second-layer", "over-param", second_layer, which=one(multiplier(10) & PLAIN), limits="none"),
    evidence("recovery", "conv-grows", "gaus-conv", growth, which=CONV),
    evidence("recovery", "cifar-grows", "cifar-conv", growth),
    evidence("pandoras-box", "becomes-its-teacher", "two-teachers", becomes_its_teacher),
    evidence("pandoras-box", "not-the-other", "two-teachers", not_the_other),
    evidence("low-first", "lowest-best", "teacher-size", lowest_best),
    evidence("low-first", "lowest-first", "teacher-size", lowest_first),
    evidence("low-first", "ordered", "teacher-size", ordered),
]
