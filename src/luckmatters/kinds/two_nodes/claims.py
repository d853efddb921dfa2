"""Claims on how fast two nodes follow their teacher nodes."""

from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, in_every_cell
from luckmatters.tables.results import Results


def two_nodes(results: Results) -> Effect:
    """0.1 minus the mean of |measured time / predicted time − 1|, by seed, for every gradient and level.

    The mean is over the nodes of all pairs that start below the level and reach it.
    """
    margins = []
    for _, part in results.table.groupby("variant", sort=False):
        wide = part.pivot_table(index=["seed", "replica", "node"], columns="quantity", values="value")
        for level in (name.removeprefix("time_") for name in wide if name.startswith("time_")):
            arrived = wide[wide["initial_cosine"] < float(level)].dropna(subset=f"time_{level}")
            ratio = arrived[f"time_{level}"] / arrived[f"predicted_{level}"]
            margins.append(0.1 - (ratio - 1).abs().groupby("seed").mean())
    return in_every_cell(*margins)


EVIDENCE = [evidence("luck-speed", "two-nodes-predicted", "two-nodes", two_nodes)]
