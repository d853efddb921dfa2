"""Claims on fan-out norms under the matrix dynamics."""

from functools import partial

import numpy as np
import pandas as pd

from luckmatters.judging.published import agreement
from luckmatters.judging.statistics import Effect, LacksDataError, Measure, difference, in_every_cell
from luckmatters.tables.results import Results


def moments(results: Results, quantity: str, start: str) -> dict[str, pd.DataFrame]:
    """A quantity of the last hidden layer by seed, columns initial and final; by variant.

    Raises LacksDataError if the experiment has no such start.
    """
    rows = results.select(quantity)
    rows = rows[(rows["start"] == start) & (rows["layer"] == rows["layer"].max())]
    if rows.empty:
        raise LacksDataError(f"{results.name} has no start {start}")
    found = {}
    for variant, part in rows.groupby("variant", sort=False):
        values = part.pivot(index="seed", columns="epoch", values="value")
        found[variant] = pd.DataFrame({"initial": values.iloc[:, 0], "final": values.iloc[:, -1]})
    return found


def kept(results: Results, start: str) -> dict[str, pd.Series]:
    """Final over initial fan-out norm of the matched nodes, by variant."""
    found = moments(results, "matched_norm", start)
    return {variant: norms["final"] / norms["initial"] for variant, norms in found.items()}


def lost(results: Results, start: str) -> dict[str, pd.Series]:
    """The share of their fan-out norm that unmatched nodes lose, by variant."""
    found = moments(results, "unmatched_norm", start)
    return {variant: 1 - norms["final"] / norms["initial"] for variant, norms in found.items()}


def keeps(results: Results, start: str) -> Effect:
    """What the matched nodes keep, for every multiplier."""
    return in_every_cell(*kept(results, start).values())


def vanishes(results: Results, start: str) -> Effect:
    """What the unmatched nodes lose, for every multiplier."""
    return in_every_cell(*lost(results, start).values())


def as_published(results: Results, start: str) -> Effect:
    """What the unmatched nodes lose against the published levels, in standard errors.

    The reading error of the share is that of its two levels. Raises LacksDataError if the last published epoch was not
    run, or nothing was published.
    """
    for variant, frame in results.published.items():
        levels = frame[(frame["quantity"] == "unmatched_norm") & (frame["start"] == start)].sort_values("epoch")
        first, last = levels.iloc[0], levels.iloc[-1]
        if not (results.select("unmatched_norm", variant=variant)["epoch"] == last["epoch"]).any():
            raise LacksDataError(f"{variant} did not run for {last['epoch']} epochs, the last published")
        remains = last["value"] / first["value"]
        reading = remains * np.hypot(last["uncertainty"] / last["value"], first["uncertainty"] / first["value"])
        return agreement(lost(results, start)[variant], 1 - remains, last["seeds"], reading)
    raise LacksDataError(f"there is no published level of start {start} at this scale")


def alignment_matters(results: Results) -> Effect:
    """What the unmatched nodes lose from an aligned lowest layer more than without, for every multiplier."""
    aligned, without = (lost(results, start) for start in ("1-1", "03-1"))
    return in_every_cell(*(difference(aligned[variant], without[variant]) for variant in aligned))


def winners_above(results: Results) -> Effect:
    """log ratio of the final norms of winners and others, for every start and multiplier."""
    cells = []
    for start in results.table["start"].unique():
        winners, others = (moments(results, f"{name}_norm", start) for name in ("winner", "other"))
        cells += [np.log(winners[variant]["final"] / others[variant]["final"]) for variant in winners]
    return in_every_cell(*cells)


CLAIMS: dict[str, dict[str, dict[str, Measure]]] = {
    "fan-out-vanishes": {
        "fan-out-2": {
            **{f"keeps-{start}": partial(keeps, start=start) for start in ("1-0", "1-03", "1-1")},
            "vanishes-1-0": partial(as_published, start="1-0"),
            "vanishes-1-03": partial(as_published, start="1-03"),
            "vanishes-1-1": partial(vanishes, start="1-1"),
            "alignment-matters": alignment_matters,
            "winners-above": winners_above,
        },
        "fan-out-3": {
            f"three-{name}-{start}": partial(measure, start=start)
            for start in ("1-1-0", "1-1-1")
            for name, measure in {"keeps": keeps, "vanishes": vanishes}.items()
        },
    },
}
