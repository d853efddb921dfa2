"""Claims on tickets: more student nodes, better tickets, more teacher nodes that are found."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from luckmatters.judging.curves import at, curve, last_epoch, mean_over_layers
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, LacksDataError, difference, in_every_cell
from luckmatters.judging.variants import Variants, multiplier, one
from luckmatters.kinds.tickets_and_cover.tables import LAYER, multipliers, nodes
from luckmatters.learning.shapes import student_widths
from luckmatters.science.extremes import best_direction
from luckmatters.tables.results import Results

HELPFUL = (1, 2, 5, 10)  # from the next published multiplier on, 20, more nodes slow learning down


def more_found(results: Results, many: Variants, single: Variants) -> Effect:
    """Share of the teacher nodes of all hidden layers that are found at the end, `many` minus `single`, by seed.

    Raises LacksDataError if both did not run equally long.
    """
    tables = [results.select("found", which) for which in (many, single)]
    if len({table["epoch"].max() for table in tables}) > 1:
        raise LacksDataError("the compared students were not trained equally long")
    return in_every_cell(difference(*(table.groupby("seed")["value"].mean() for table in tables)))


def better_ticket(results: Results) -> Effect:
    """Probability that the found one of two teacher nodes had the better ticket, minus 1/2; see :func:`advantage`."""
    return in_every_cell(advantage(nodes(results)))


def better_ticket_each(results: Results) -> Effect:
    """The same at each of the HELPFUL multipliers."""
    table = nodes(results)
    return in_every_cell(*(advantage(table[table["multiplier"] == m]) for m in HELPFUL))


def advantage(table: pd.DataFrame) -> pd.Series:
    """Probability that of two teacher nodes the found one had the better ticket, minus 1/2, by seed.

    Two tickets that are equal count one half. Pairs are made within a multiplier and a layer. Seeds without pairs are
    left out; a seed that diverged at a multiplier has the pairs of its other multipliers.
    table: a row a teacher node, see :func:`luckmatters.kinds.tickets_and_cover.tables.nodes`.
    """
    won, pairs = {}, {}
    for (seed, *_), group in table.groupby(["seed", *LAYER]):
        found, other = (group.loc[group["found"] == value, "ticket"].to_numpy() for value in (1, 0))
        signs = np.sign(found[:, None] - other)  # of every pair
        won[seed], pairs[seed] = won.get(seed, 0) + signs.sum(), pairs.get(seed, 0) + signs.size
    return pd.Series({seed: won[seed] / pairs[seed] / 2 for seed in won if pairs[seed]}, dtype=float)


def each_step(results: Results) -> Effect:
    """Cover of each helpful multiplier minus that of the next smaller one at the last epoch of both, by seed."""
    steps = []
    for less, more in itertools.pairwise(HELPFUL):
        both = [mean_over_layers(curve(results, "cover", multiplier(m))) for m in (more, less)]
        last = last_epoch(*both)
        steps.append(difference(*(at(cover, last) for cover in both)))
    return in_every_cell(*steps)


def as_predicted(results: Results) -> Effect:
    """Minus the distance of the mean ticket from the predicted mean, in every layer at every multiplier."""
    table = nodes(results)
    missed = table.assign(missed=table["ticket"] - table["predicted_ticket"]).groupby(["seed", *LAYER])["missed"].mean()
    return to_either_side([part.droplevel(LAYER) for _, part in missed.groupby(level=LAYER)])


def random_directions(results: Results) -> Effect:
    """Minus the distance of the lowest layer's mean ticket from that of random directions, at every multiplier."""
    table = nodes(results).query("layer == 0")
    means = table.groupby(["multiplier", "seed"])["ticket"].mean()
    missed = []
    for variant, m in multipliers(results).items():
        run = results.runs[variant]
        missed.append(means[m] - best_direction(student_widths(run)[0], run.teacher.shape[0]))
    return to_either_side(missed)


def to_either_side(cells: Sequence[pd.Series]) -> Effect:
    """Minus the greatest distance of a cell's mean from 0: each mean is judged with both signs."""
    return in_every_cell(*cells, *(-cell for cell in cells))


EACH = tuple(one(multiplier(m)) for m in HELPFUL)

EVIDENCE = [
    evidence(
        "tickets-and-cover", "more-found", "tickets-and-cover", more_found, many=one(multiplier(10)), single=EACH[0]
    ),
    evidence("tickets-and-cover", "better-ticket", "tickets-and-cover", better_ticket, needs=EACH),
    evidence("tickets-and-cover", "better-ticket-each", "tickets-and-cover", better_ticket_each, needs=EACH),
    evidence("tickets-and-cover", "each-step", "tickets-and-cover", each_step, needs=EACH),
    evidence("tickets-and-cover", "as-predicted", "tickets-and-cover", as_predicted, needs=EACH),
    evidence("tickets-and-cover", "random-directions", "tickets-and-cover", random_directions, needs=EACH),
]
