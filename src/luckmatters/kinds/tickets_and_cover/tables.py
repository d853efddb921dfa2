"""The table of teacher nodes, which claims and figure share."""

import pandas as pd

from luckmatters.tables.results import Results

LAYER = ("multiplier", "layer")
NODE = ("seed", *LAYER, "node")  # what tells teacher nodes apart


def multipliers(results: Results) -> dict[str, int]:
    """The multiplier of each variant, smallest first."""
    sizes = {variant: run.trained.settings.student.multiplier for variant, run in results.runs.items()}
    return dict(sorted(sizes.items(), key=lambda item: item[1]))


def nodes(results: Results) -> pd.DataFrame:
    """A table with a row a live teacher node: columns NODE, and a column a quantity of teacher nodes."""
    table = results.table.dropna(subset="node")
    table = table.assign(multiplier=table["variant"].map(multipliers(results)))
    wide = table.pivot(index=list(NODE), columns="quantity", values="value")
    return wide.dropna(subset="ticket").reset_index()
