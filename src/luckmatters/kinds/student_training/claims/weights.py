"""Claims on weights: students' weights converge to the teacher's, and slower to many teacher nodes that overlap."""

import itertools
from collections.abc import Sequence

from luckmatters.judging.curves import at_end, beside, change, curve, gap_closed, mean_over_layers, on_the_way
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, difference, in_every_cell
from luckmatters.judging.variants import PLAIN, Variants, multiplier, one, teacher
from luckmatters.tables.results import Results

COSINES = "weight_cosine", "control_weight_cosine"


def half_way(results: Results, which: Variants) -> Effect:
    """(cosine − floor) / (1 − floor) of fan-in weights at the end, in every layer."""
    ((cosine, floor),) = (map(at_end, pair) for pair in beside(results, *COSINES, which=which))
    return in_every_cell((cosine - floor) / (1 - floor))


def lowest_layer(results: Results, which: Variants) -> Effect:
    """Cosine of fan-in weights at the end, in the lowest layer."""
    return in_every_cell(at_end(curve(results, "weight_cosine", which))[0])


def nearer(results: Results) -> Effect:
    """Growth of the cosine with the teacher's weights minus growth with an unrelated teacher's, in every layer."""
    return in_every_cell(*(change(own) - change(other) for own, other in beside(results, *COSINES)))


def slower(results: Results, quantity: str, variants: Sequence[Variants]) -> Effect:
    """Gap closed of a quantity, averaged over epochs: each of the variants minus the next one."""
    closed = [mean_over_layers(on_the_way(gap_closed(curve(results, quantity, which)))) for which in variants]
    return in_every_cell(*itertools.starmap(difference, itertools.pairwise(closed)))


def nodes(width: int, bias: float | None = None) -> Variants:
    """Students of teachers with one hidden layer of `width` nodes, whose biases are shifted by `bias`."""

    def test(run) -> bool:
        return run.teacher.widths == [width] and run.teacher.bias == bias

    return one(Variants(f"{width} teacher nodes, bias {bias or 'as drawn'}", test))


LUCKY = one(teacher("gaus-fc-small") & PLAIN & multiplier(10))
MORE_NODES = nodes(10), nodes(25), nodes(100)
MORE_OVERLAP = nodes(25, -1.0), nodes(25), nodes(25, 1.0)

EVIDENCE = [
    evidence("weights-converge", "half-way", "weights", half_way, which=LUCKY),
    evidence("weights-converge", "lowest-layer", "weights", lowest_layer, which=LUCKY),
    evidence("weights-converge", "nearer", "weights", nearer),
    evidence(
        "overlap-slows", "more-nodes", "overlap-slows", slower,
        quantity="weight_cosine", variants=MORE_NODES, needs=MORE_NODES,
    ),
    evidence(
        "overlap-slows", "more-overlap", "overlap-slows", slower,
        quantity="weight_cosine", variants=MORE_OVERLAP, needs=MORE_OVERLAP,
    ),
    evidence(
        "overlap-slows", "more-nodes-overlap", "overlap-slows", slower,
        quantity="correlation", variants=MORE_NODES, needs=MORE_NODES,
    ),
]  # fmt: skip
