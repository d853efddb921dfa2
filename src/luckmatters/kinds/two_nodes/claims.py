"""Claims on how fast two nodes follow their teacher nodes."""

from luckmatters.judging.evidence import evidence
from luckmatters.judging.statistics import Effect, in_every_cell
from luckmatters.tables.results import Results


def two_nodes(results: Results) -> Effect:
    """0.1 minus how far times are from their prediction, by seed, over its pairs that get to the level.

    For every gradient and level.
    """
    near = []
    for _, part in results.table.groupby("variant", sort=False):
        wide = part.pivot_table(index=["seed", "replica", "node"], columns="quantity", values="value")
        for level in (name.removeprefix("time_") for name in wide if name.startswith("time_")):
            arrived = wide[wide["initial_cosine"] < float(level)].dropna(subset=f"time_{level}")
            ratio = arrived[f"time_{level}"] / arrived[f"predicted_{level}"]
            near.append(0.1 - (ratio - 1).abs().groupby("seed").mean())
    return in_every_cell(*near)


EVIDENCE = [evidence("luck-speed", "two-nodes-predicted", "two-nodes", two_nodes)]
