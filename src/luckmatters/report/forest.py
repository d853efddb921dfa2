"""Places of effects on the one axis of all forest plots: distance from the threshold, in units of the threshold."""

import math
from dataclasses import dataclass

from luckmatters.judging.statistics import Effect
from luckmatters.ledger import EVIDENCE, Judgement

# The axis is linear near the threshold and logarithmic beyond, since effects differ by four orders of magnitude.
LINEAR, REACH = 0.01, 10.0
MARGIN = 4.0  # percent of the width on either side of the axis: beyond REACH, where open ends point to


@dataclass(frozen=True)
class Strip:
    """Where an effect stands on the axis, in percent of the width; low, high: None for an effect without limits."""

    middle: float
    low: float | None
    high: float | None


def place(distance: float) -> float:
    """Percent of the width at which a distance from the threshold stands; beyond REACH at the end."""
    if math.isinf(distance) or abs(distance) > REACH:
        return 100.0 if distance > 0 else 0.0
    scaled = math.copysign(math.log1p(abs(distance) / LINEAR), distance) / math.log1p(REACH / LINEAR)
    return 50 + (50 - MARGIN) * scaled


def unit(threshold: float) -> float:
    """Unit of the axis: the size of the threshold; the effect's own unit where the threshold is 0."""
    return abs(threshold) or 1.0


def strip(effect: Effect, threshold: float) -> Strip | None:
    """The place of an effect; None if its estimate is not known."""
    if math.isnan(effect.estimate):
        return None
    middle, low, high = (
        None if math.isnan(value) else place((value - threshold) / unit(threshold))
        for value in (effect.estimate, effect.low, effect.high)
    )
    return Strip(middle, low, high)


def strip_of(judgement: Judgement, key: str) -> Strip | None:
    """The place of a check's effect; without limits where the effect has none, as a count has."""
    effect, threshold = judgement.effects[key][0], judgement.claim.checks[key].threshold
    found = strip(effect, threshold)
    return Strip(found.middle, None, None) if found and EVIDENCE[judgement.name][key].limits == "none" else found


TICKS = {text: place(float(text.replace("−", "-"))) for text in ("−10", "−1", "−0.1", "0", "0.1", "1", "10")}
