"""Claims on layers that are trained one by one, from below."""

from dataclasses import replace

import numpy as np
import pandas as pd

from luckmatters.judging.curves import at_end, curve
from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, LacksDataError, difference, in_every_cell, mean_effect
from luckmatters.judging.variants import Variants, multiplier, one
from luckmatters.tables.results import Results

END_TO_END = "end-to-end"
FROM_BELOW = ("local-readout", "reconstruction", "random")
EQUAL = 10  # multiplier at which nodes are equal: the over-parameterization that the paper recommends


def hidden(*depths: int) -> Variants:
    """The variants whose networks have these numbers of hidden layers."""
    names = " or ".join(map(str, depths))
    return Variants(f"{names} hidden layers", lambda run: len(run.teacher.widths) in depths)


DEEPEST = hidden(4)


def depths(results: Results, which: Variants) -> list[int]:
    """The numbers of hidden layers of the chosen variants, smallest first."""
    return sorted({len(run.teacher.widths) for run in results.runs.values() if which(run)})


def multipliers(results: Results, way: str, depth: int) -> list[int]:
    """The multipliers at which students of that depth were trained in a way, smallest first."""
    runs = [run for run in results.runs.values() if hidden(depth)(run)]
    return sorted({run.settings.student.multiplier for run in runs if way in run.settings.ways})


def lacks_signal(way: str, depth: int) -> bool:
    """Whether a way lacks the signal from above: all but a local readout that is the network's own, on one layer."""
    return way in FROM_BELOW and (way != "local-readout" or depth > 1)


def of_way(results: Results, way: str) -> Results:
    """The results of the students that were trained in a way."""
    return replace(results, table=results.table[results.table["branch"] == way])


def final(results: Results, quantity: str, way: str, depth: int, m: int) -> pd.DataFrame:
    """A quantity at the last epoch: index seed, a column for each layer, or one for the whole network.

    Raises LacksDataError if the results lack it.
    """
    return at_end(curve(of_way(results, way), quantity, one(hidden(depth) & multiplier(m))))


def log_losses(results: Results, quantity: str, way: str, depth: int, m: int) -> pd.Series:
    """The log of a final loss of the whole network, by seed."""
    return np.log(final(results, quantity, way, depth, m).iloc[:, 0])


def features(results: Results, which: Variants) -> Effect:
    """Final ρ̄ end to end minus final ρ̄ from below, at equal nodes, by layer, way and depth."""
    return in_every_cell(*match(results, which).values())


def match(results: Results, which: Variants, m: int = EQUAL) -> dict[tuple[int, str], pd.DataFrame]:
    """Final ρ̄ end to end minus from below, at multiplier m, by depth and way: index seed, a column for each layer."""
    return {
        (depth, way): difference(*(final(results, "correlation", one_way, depth, m) for one_way in (END_TO_END, way)))
        for depth in depths(results, which)
        for way in FROM_BELOW
        if lacks_signal(way, depth)
    }


def loss(results: Results, which: Variants, quantity: str) -> Effect:
    """log ratio of final losses, from below to end to end, at equal nodes, by way and depth.

    quantity: ``loss`` or ``readout_loss``, of the networks from below.
    """
    cells = []
    for depth in depths(results, which):
        best = log_losses(results, "loss", END_TO_END, depth, EQUAL)
        cells += [difference(-best, -log_losses(results, quantity, way, depth, EQUAL)) for way in FROM_BELOW]
    return in_every_cell(*cells)


def needed(results: Results, way: str, depth: int, m: int = 1) -> pd.DataFrame:
    """The nodes that a way needs, with the best readout, for the loss of end-to-end students of multiplier m.

    Index seed; columns ``log``, the log of the multiplier needed, and ``reached``, whether a multiplier tried is
    enough. NaN where the end-to-end student diverged. Multipliers at which students of the way diverged do not count.
    """
    target = log_losses(results, "loss", END_TO_END, depth, m)
    tried = multipliers(results, way, depth)
    curves = pd.concat([log_losses(results, "readout_loss", way, depth, m) for m in tried], axis=1, keys=tried)
    found = {seed: crossing(curves.loc[seed].dropna(), level) for seed, level in target.items() if seed in curves.index}
    return pd.DataFrame.from_dict(found, orient="index", columns=["log", "reached"])


def crossing(losses: pd.Series, level: float) -> tuple[float, bool]:
    """The log of the least multiplier at which a curve is at a level or below, and whether the curve gets there.

    losses: index multiplier, increasing; the curve is linear between logs of multipliers. The smallest multiplier
    stands for smaller ones, the largest for larger ones. NaN if the level is.
    """
    x, y = np.log(losses.index.to_numpy(float)), losses.to_numpy()
    if np.isnan(level):
        return np.nan, False
    below = np.flatnonzero(y <= level)
    if len(below) == 0:
        return x[-1] if len(x) else -np.inf, False
    i = below[0]
    if i == 0:
        return x[0], True
    return x[i - 1] + (x[i] - x[i - 1]) * (y[i - 1] - level) / (y[i - 1] - y[i]), True


def nodes(results: Results, which: Variants) -> Effect:
    """The log of how many times the nodes of an end-to-end student of m = 1 each way needs, by way and depth.

    A lower bound counts as its value and has no upper limit.
    """
    cells = [needed(results, way, depth) for depth in depths(results, which) for way in FROM_BELOW]
    effect = in_every_cell(*(cell["log"] for cell in cells))
    if bounds := sum(int((~cell["reached"]).sum()) for cell in cells):
        known = [cell["log"] for cell in cells if cell["reached"].all()]
        high = in_every_cell(*known).high if known else np.inf
        note = f"nodes: {bounds} of {sum(map(len, cells))} are lower bounds, the widest that was tried"
        return replace(effect, high=high, note=note)
    return effect


def times_the_nodes(found: pd.DataFrame, m: int) -> Effect:
    """How many times the nodes of an end-to-end student of multiplier m are needed: mean of logs with its interval.

    found: see :func:`needed`. Without an upper limit if any seed's is a lower bound.
    """
    effect = mean_effect(found["log"] - np.log(m))
    estimate, low, high = np.exp([effect.estimate, effect.low, effect.high])
    return Effect(estimate, low, high if found["reached"].all() else np.inf, effect.seeds)


def grows_with_depth(results: Results) -> Effect:
    """The slope of the log of the multiplier needed over the number of hidden layers, by way.

    With a lower bound among the deeper networks of a way the slope may be greater, and has no upper limit; with one
    among the others it may be smaller, and has no lower limit. Raises LacksDataError unless every way has two depths.
    """
    slopes, below, known = [], False, []
    for way in FROM_BELOW:
        of = [depth for depth in depths(results, hidden(1, 2, 3, 4)) if lacks_signal(way, depth)]
        if len(of) < 2:
            raise LacksDataError(f"{way} was trained at {len(of)} depths without the signal, and a slope needs two")
        found = [needed(results, way, depth) for depth in of]
        centered = np.array(of) - np.mean(of)
        logs = pd.concat([one_depth["log"] for one_depth in found], axis=1)
        slopes.append((logs * (centered / (centered @ centered))).sum(axis=1, skipna=False))
        bounds = [place for place, one_depth in zip(centered, found, strict=True) if not one_depth["reached"].all()]
        below |= any(place < 0 for place in bounds)
        known += [slopes[-1]] * (not any(place > 0 for place in bounds))
    effect = in_every_cell(*slopes)
    return replace(effect, low=-np.inf if below else effect.low, high=in_every_cell(*known).high if known else np.inf)


def local_learns(results: Results) -> Effect:
    """One hidden layer: final ρ̄ with a local readout minus final ρ̄ of random nodes."""
    return in_every_cell(
        difference(*(final(results, "correlation", way, 1, EQUAL) for way in ("local-readout", "random")))
    )


def equal(depth: int) -> Variants:
    """The variant of a depth at which nodes are equal."""
    return one(hidden(depth) & multiplier(EQUAL))


SINGLE = one(hidden(4) & multiplier(1))
CLAIM, EXPERIMENT = "layer-by-layer", "layer-by-layer"

EVIDENCE = [
    evidence(CLAIM, "features", EXPERIMENT, features, which=DEEPEST, needs=(equal(4),)),
    evidence(CLAIM, "nodes", EXPERIMENT, nodes, which=DEEPEST, needs=(SINGLE,)),
    evidence(CLAIM, "features-other-depths", EXPERIMENT, features, which=hidden(1, 2, 3), needs=(equal(1), equal(2))),
    evidence(CLAIM, "loss", EXPERIMENT, loss, which=hidden(2, 3, 4), quantity="loss", needs=(equal(2), equal(4))),
    evidence(CLAIM, "best-readout", EXPERIMENT, loss, which=hidden(2, 3, 4), quantity="readout_loss"),
    evidence(CLAIM, "grows-with-depth", EXPERIMENT, grows_with_depth, needs=(SINGLE,)),
    evidence(CLAIM, "local-learns", EXPERIMENT, local_learns, needs=(equal(1),)),
]
