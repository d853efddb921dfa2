"""Rounds of iterative pruning. Imports no torch."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luckmatters.kinds.lottery.settings import Pruning


def sizes(pruning: "Pruning", multiplier: int) -> list[float]:
    """The size after each round, in multiples of the teacher's hidden widths.

    multiplier: the size of the students before the first round.
    """
    between = [multiplier * (pruning.kept / multiplier) ** (i / pruning.rounds) for i in range(1, pruning.rounds)]
    return [*between, pruning.kept]
