"""The results of an experiment's finished runs for figures, summaries and claims; imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from luckmatters.settings.experiment import Experiment, Run


@dataclass(frozen=True)
class Results:
    """The results of an experiment at a scale, from which figures are drawn and claims are judged.

    table: columns variant, grid axes, seed, epoch, layer, quantity, value, and columns of the experiment's kind.
    runs: the run of each variant.
    manifests: pairs of variant and manifest for every job read.
    inputs: checksums of all files read.
    reduced: the changes that the scale makes, by the experiment or teacher that states them.
    tensors: for each variant the named tensors of each job, if they were asked for.
    published: for each variant the table in data/published.
    """

    name: str
    experiment: Experiment
    scale: str
    table: pd.DataFrame
    runs: dict[str, Run]
    labels: dict[str, dict[str, str]]
    manifests: list[tuple[str, dict]]
    inputs: dict[str, str]
    reduced: dict[str, str]
    tensors: dict[str, list[dict[str, np.ndarray]]] = field(default_factory=dict)
    published: dict[str, pd.DataFrame] = field(default_factory=dict)

    def select(self, quantity: str, which: Callable[[Run], bool] = lambda run: True) -> pd.DataFrame:
        """The rows of a quantity in the variants whose run passes the test `which`."""
        rows = self.table[self.table["quantity"] == quantity]
        return rows[rows["variant"].isin([variant for variant, run in self.runs.items() if which(run)])]

    @cached_property
    def diverged(self) -> dict[str, int]:
        """The number of diverged seeds by variant, without the variants that have none."""
        counts: dict[str, int] = {}
        for variant, manifest in self.manifests:
            counts[variant] = counts.get(variant, 0) + len(manifest["diverged"])
        return {variant: count for variant, count in counts.items() if count}
