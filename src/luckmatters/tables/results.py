"""Finished runs of an experiment as figures, summaries and claims see them. Imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from luckmatters.settings.experiment import Experiment, Run


@dataclass(frozen=True)
class Results:
    """All that an experiment draws and judges.

    table: columns variant, one a grid axis, seed, epoch, layer, quantity, value (and what the kind adds);
    runs: the run behind each variant; manifests: of every job read, with its variant; inputs: checksums of
    all files read; reduced: what the scale changes, by the experiment or teacher that says so; tensors: by variant,
    what each job left beside its table, by name, if it was asked for; published: what data/published has for a variant.
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
        """Rows of a quantity, of the variants whose run passes a test."""
        rows = self.table[self.table["quantity"] == quantity]
        return rows[rows["variant"].isin([variant for variant, run in self.runs.items() if which(run)])]

    @cached_property
    def diverged(self) -> dict[str, int]:
        """How many seeds diverged, by variant; variants without any are left out."""
        counts: dict[str, int] = {}
        for variant, manifest in self.manifests:
            counts[variant] = counts.get(variant, 0) + len(manifest["diverged"])
        return {variant: count for variant, count in counts.items() if count}
