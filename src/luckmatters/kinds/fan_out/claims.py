"""Claims on fan-out norms under the matrix dynamics."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from luckmatters.judging.evidence import evidence
from luckmatters.judging.published import agreement
from luckmatters.judging.statistics import Effect, LacksDataError, difference, in_every_cell
from luckmatters.judging.variants import Variants
from luckmatters.tables.results import Results


@dataclass(frozen=True)
class Start(Variants):
    """The variants with a start.

    shares: the share of the teacher's columns in the start, lowest layer first.
    """

    shares: tuple[float, ...] = ()

    def name(self, results: Results) -> str:
        """The name of the start in an experiment's settings. Raises LacksDataError if no run has the start."""
        for run in results.runs.values():
            for name, shares in run.settings.starts.items():
                if tuple(shares) == self.shares:
                    return name
        raise LacksDataError(f"{results.name} has no {self.text}")


def starting(*shares: float) -> Start:
    """The variants with a start of given shares, lowest layer first."""
    return Start(f"start {list(shares)}", lambda run: list(shares) in run.settings.starts.values(), shares=shares)


def moments(results: Results, quantity: str, start: str) -> dict[str, pd.DataFrame]:
    """A quantity of the last hidden layer from a start, by variant: a row a seed, columns initial and final."""
    rows = results.select(quantity)
    rows = rows[(rows["start"] == start) & (rows["layer"] == rows["layer"].max())]
    by_variant = {}
    for variant, part in rows.groupby("variant", sort=False):
        values = part.pivot(index="seed", columns="epoch", values="value")
        by_variant[variant] = pd.DataFrame({"initial": values.iloc[:, 0], "final": values.iloc[:, -1]})
    return by_variant


def kept(results: Results, start: Start) -> dict[str, pd.Series]:
    """Final over initial fan-out norm of the matched nodes, by variant."""
    norms = moments(results, "matched_norm", start.name(results))
    return {variant: norm["final"] / norm["initial"] for variant, norm in norms.items()}


def lost(results: Results, start: Start) -> dict[str, pd.Series]:
    """The share of the fan-out norm that unmatched nodes lose, by variant."""
    norms = moments(results, "unmatched_norm", start.name(results))
    return {variant: 1 - norm["final"] / norm["initial"] for variant, norm in norms.items()}


def keeps(results: Results, start: Start) -> Effect:
    """The share of the fan-out norm that matched nodes keep, for every multiplier."""
    return in_every_cell(*kept(results, start).values())


def vanishes(results: Results, start: Start) -> Effect:
    """The share of the fan-out norm that unmatched nodes lose, for every multiplier."""
    return in_every_cell(*lost(results, start).values())


def as_published(results: Results, start: Start) -> Effect:
    """The share that unmatched nodes lose against the share in the published levels, in standard errors.

    The reading error of the published share comes from the reading errors of the first and the last level. Raises
    LacksDataError if the last published epoch was not run, or nothing was published.
    """
    name = start.name(results)
    for variant, frame in results.published.items():
        levels = frame[(frame["quantity"] == "unmatched_norm") & (frame["start"] == name)].sort_values("epoch")
        first, last = levels.iloc[0], levels.iloc[-1]
        rows = results.select("unmatched_norm")
        if not (rows[rows["variant"] == variant]["epoch"] == last["epoch"]).any():
            raise LacksDataError(f"{variant} did not run for {last['epoch']} epochs, the last published")
        remains = last["value"] / first["value"]
        reading = remains * np.hypot(last["uncertainty"] / last["value"], first["uncertainty"] / first["value"])
        return agreement(lost(results, start)[variant], 1 - remains, last["seeds"], reading)
    raise LacksDataError(f"there is no published level of start {name} at this scale")


def alignment_matters(results: Results, aligned: Start, without: Start) -> Effect:
    """The share that unmatched nodes lose from an aligned lowest layer, minus the share without, by multiplier."""
    more, less = lost(results, aligned), lost(results, without)
    return in_every_cell(*(difference(more[variant], less[variant]) for variant in more))


def winners_above(results: Results) -> Effect:
    """log ratio of the final fan-out norms of winners and of other nodes, for every start and multiplier."""
    cells = []
    for start in results.table["start"].unique():
        winners, others = (moments(results, f"{name}_norm", start) for name in ("winner", "other"))
        cells += [np.log(winners[variant]["final"] / others[variant]["final"]) for variant in winners]
    return in_every_cell(*cells)


ONE_HIDDEN, TWO_HIDDEN = "fan-out-one-hidden", "fan-out-two-hidden"

EVIDENCE = [
    evidence("fan-out-vanishes", "keeps-1-0", ONE_HIDDEN, keeps, start=starting(1.0, 0.0)),
    evidence("fan-out-vanishes", "keeps-1-03", ONE_HIDDEN, keeps, start=starting(1.0, 0.3)),
    evidence("fan-out-vanishes", "keeps-1-1", ONE_HIDDEN, keeps, start=starting(1.0, 1.0)),
    evidence("fan-out-vanishes", "vanishes-1-0", ONE_HIDDEN, as_published, start=starting(1.0, 0.0), limits="none"),
    evidence("fan-out-vanishes", "vanishes-1-03", ONE_HIDDEN, as_published, start=starting(1.0, 0.3), limits="none"),
    evidence("fan-out-vanishes", "vanishes-1-1", ONE_HIDDEN, vanishes, start=starting(1.0, 1.0)),
    evidence(
        "fan-out-vanishes", "alignment-matters", ONE_HIDDEN, alignment_matters,
        aligned=starting(1.0, 1.0), without=starting(0.3, 1.0),
    ),
    evidence("fan-out-vanishes", "winners-above", ONE_HIDDEN, winners_above),
    evidence("fan-out-vanishes", "two-hidden-keeps-1-1-0", TWO_HIDDEN, keeps, start=starting(1.0, 1.0, 0.0)),
    evidence("fan-out-vanishes", "two-hidden-vanishes-1-1-0", TWO_HIDDEN, vanishes, start=starting(1.0, 1.0, 0.0)),
    evidence("fan-out-vanishes", "two-hidden-keeps-1-1-1", TWO_HIDDEN, keeps, start=starting(1.0, 1.0, 1.0)),
    evidence("fan-out-vanishes", "two-hidden-vanishes-1-1-1", TWO_HIDDEN, vanishes, start=starting(1.0, 1.0, 1.0)),
]  # fmt: skip
