"""Claims on nodes that are removed after training: what is left against the whole network, paired by seed."""

import numpy as np
import pandas as pd

from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, LacksDataError, difference, in_every_cell
from luckmatters.judging.variants import Variants, multiplier, one
from luckmatters.tables.results import Results

TEN = one(multiplier(10))
WHOLE = "whole"
SMALLEST, LARGER = (1.0,), (2.0, 3.0, 5.0)  # sizes in multiples of the teacher's hidden widths


def losses(results: Results, which: Variants, branch: str, group: str, kept: float | None, epoch: int) -> pd.Series:
    """log of the evaluation loss at an epoch, by seed.

    group: the criterion, or ``whole``; kept: the size, None for the whole network. Raises LacksDataError without rows.
    """
    rows = results.select("loss", which)
    rows = rows[(rows["branch"] == branch) & (rows["group"] == group) & (rows["epoch"] == epoch)]
    if kept is not None:
        rows = rows[rows["kept"] == kept]
    if rows.empty or rows["variant"].nunique() > 1:
        raise LacksDataError(f"{results.name} has no one variant with {group}, size {kept}, epoch {epoch}")
    return np.log(rows.set_index("seed")["value"]).sort_index()


def gain(
    results: Results, which: Variants, branch: str, group: str, kept: float, *, over: str = WHOLE,
    epoch: int | None = None,
) -> pd.Series:  # fmt: skip
    """log of the ratio of losses, of other networks to what is left by a criterion; by seed.

    over: the criterion of the other networks, or ``whole``; epoch: None for the last epoch.
    """
    epoch = results.select("loss", which)["epoch"].max() if epoch is None else epoch
    theirs = losses(results, which, branch, over, None if over == WHOLE else kept, epoch)
    return difference(-losses(results, which, branch, group, kept, epoch), -theirs)


def nothing_worse(results: Results, which: Variants, branch: str, group: str, sizes: tuple[float, ...]) -> Effect:
    """The gain over the whole network, at every size."""
    return in_every_cell(*(gain(results, which, branch, group, kept) for kept in sizes))


def beats(results: Results, which: Variants, group: str, over: str, kept: float) -> Effect:
    """The gain of a criterion over another one, after fine-tuning."""
    return in_every_cell(gain(results, which, "fine-tuned", group, kept, over=over))


def with_time(results: Results, which: Variants, group: str, kept: float) -> Effect:
    """The gain of removal alone over the whole network, at the end of training minus at the first epoch."""
    first = results.select("loss", which)["epoch"].min()
    late, early = (gain(results, which, "removed", group, kept, epoch=epoch) for epoch in (None, first))
    return in_every_cell(difference(late, early))


EVIDENCE = [
    *(
        evidence("removable", check, "node-removal", nothing_worse, which=TEN, branch=branch, group=group, sizes=sizes)
        for check, branch, group, sizes in (
            ("removed", "removed", "fan-out", SMALLEST),
            ("fine-tuned", "fine-tuned", "fan-out", SMALLEST),
            ("removed-larger", "removed", "fan-out", LARGER),
            ("fine-tuned-larger", "fine-tuned", "fan-out", LARGER),
            ("by-overlap", "fine-tuned", "overlap", SMALLEST),
        )
    ),
    evidence("removable", "beats-random", "node-removal", beats, which=TEN, group="fan-out", over="random", kept=1.0),
    evidence("removable", "with-time", "node-removal", with_time, which=TEN, group="fan-out", kept=1.0),
]
