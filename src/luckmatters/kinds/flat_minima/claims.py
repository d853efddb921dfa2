"""Claims on flat minima: irrelevant nodes may be changed at will, lucky ones may not."""

import itertools

import numpy as np
import pandas as pd

from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, LacksDataError, difference, in_every_cell
from luckmatters.judging.variants import Variants, multiplier, one
from luckmatters.tables.results import Results

TEN = one(multiplier(10))
GROWING = {f"m{m}": one(multiplier(m)) for m in (1, 2, 5, 10)}
OWN_LENGTH, TENTH = 1.0, 0.1  # radii of changes, in lengths of the fan-in
NEAR_ZERO = "flat_0.001"


def by_layer(
    results: Results, quantity: str, which: Variants, group: str, *, radius: float | None = None, first: bool = False
) -> pd.DataFrame:
    """A quantity of a group at its last epoch, or at its first one: index seed, a column a layer.

    Raises LacksDataError unless exactly one variant has the quantity.
    """
    rows = results.select(quantity, which)
    rows = rows[rows["group"] == group]
    if radius is not None:
        rows = rows[rows["radius"] == radius]
    if rows["variant"].nunique() != 1:
        raise LacksDataError(f"{results.name} has no one variant with {quantity} ({which.text}, radius {radius})")
    epochs = rows["epoch"]
    rows = rows[epochs == (epochs.min() if first else epochs.max())]
    return rows.pivot(index="seed", columns="layer", values="value")


def digits(
    results: Results, quantity: str, which: Variants, group: str, radius: float, *, first: bool = False
) -> pd.DataFrame:
    """Minus log10 of a quantity after a change of the fan-in, as :func:`by_layer`."""
    values = by_layer(results, quantity, which, group, radius=radius, first=first)
    return -np.log10(values.clip(lower=np.finfo(float).tiny))


def flatness(results: Results, which: Variants, quantity: str, radius: float) -> Effect:
    """Minus log10 of what a change of irrelevant nodes does, in every layer."""
    return in_every_cell(digits(results, quantity, which, "irrelevant", radius))


def steepness(results: Results, which: Variants, radius: float) -> Effect:
    """log10 of how much more a change of lucky nodes moves the output than a change of irrelevant ones, by layer."""
    groups = (digits(results, "moved", which, group, radius) for group in ("irrelevant", "lucky"))
    return in_every_cell(difference(*groups))


def flat_since(results: Results, which: Variants, radius: float) -> Effect:
    """log10 of how much more a change of the same irrelevant nodes moved the output at the earlier snapshot."""
    epochs = (digits(results, "moved", which, "irrelevant", radius, first=first) for first in (False, True))
    return in_every_cell(difference(*epochs))


def near_zero(results: Results, which: Variants, quantity: str = NEAR_ZERO) -> pd.Series:
    """The share of the Hessian's eigenvalues near zero at the last epoch, by seed."""
    rows = results.select(quantity, which)
    if rows["variant"].nunique() != 1:
        raise LacksDataError(f"{results.name} has no one variant with {quantity} ({which.text})")
    return rows[rows["epoch"] == rows["epoch"].max()].set_index("seed")["value"].sort_index()


def widens(results: Results, **sizes: Variants) -> Effect:
    """The growth of the share of eigenvalues near zero, from each size of students to the next."""
    shares = [near_zero(results, which) for which in sizes.values()]
    return in_every_cell(*(difference(more, fewer) for fewer, more in itertools.pairwise(shares)))


def farther(results: Results, which: Variants, quantity: str, far: str, near: str) -> Effect:
    """How much farther a group ends than another group, in every layer."""
    return in_every_cell(difference(*(by_layer(results, quantity, which, group) for group in (far, near))))


def anywhere(results: Results, which: Variants) -> Effect:
    """How much farther from their closest teacher node irrelevant nodes end than they started, in every layer."""
    ends = (by_layer(results, "teacher_distance", which, "irrelevant", first=first) for first in (False, True))
    return in_every_cell(difference(*ends))


EVIDENCE = [
    evidence(
        "flat-minima", "irrelevant-flat", "flat-minima", flatness, which=TEN, quantity="moved", radius=OWN_LENGTH
    ),
    evidence("flat-minima", "lucky-steep", "flat-minima", steepness, which=TEN, radius=OWN_LENGTH),
    evidence("flat-minima", "loss-flat", "flat-minima", flatness, which=TEN, quantity="loss_ratio", radius=TENTH),
    evidence("flat-minima", "flat-since", "flat-minima", flat_since, which=TEN, radius=OWN_LENGTH),
    evidence("flat-minima", "spectrum-widens", "flat-minima", widens, **GROWING),
    evidence(
        "flat-minima", "no-teacher", "flat-minima", farther,
        which=TEN, quantity="teacher_distance", far="irrelevant", near="lucky",
    ),
    evidence("flat-minima", "anywhere", "flat-minima", anywhere, which=TEN),
    evidence(
        "flat-minima", "away-from-start", "flat-minima", farther,
        which=TEN, quantity="start_distance", far="irrelevant", near="lucky",
    ),
]  # fmt: skip
