"""Finished runs of an experiment, read back (and checked) for figures, summaries and claims. Imports no torch."""

import io
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import safetensors.numpy

from luckmatters.artefacts import TABLE, TENSORS, sha256
from luckmatters.config import Project, Run
from luckmatters.config.schema import SUMMARY_KEYS, Experiment
from luckmatters.jobs import finished_bundle, run_bundle


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

    def select(self, quantity: str, **labels: str) -> pd.DataFrame:
        """Rows of a quantity where every named axis has the given label (``batch_norm="bn"`` for axis batch-norm)."""
        rows = self.table[self.table["quantity"] == quantity]
        for axis, label in labels.items():
            rows = rows[rows[axis.replace("_", "-")] == label]
        return rows

    @cached_property
    def diverged(self) -> dict[str, int]:
        """How many seeds diverged, by variant; variants without any are left out."""
        counts: dict[str, int] = {}
        for variant, manifest in self.manifests:
            counts[variant] = counts.get(variant, 0) + len(manifest["diverged"])
        return {variant: count for variant, count in counts.items() if count}


def is_complete(project: Project, name: str) -> bool:
    """Whether every job of an experiment's variants has left its results."""
    return all(
        (bundle.folder / bundle.manifest_name).exists()
        for run, _ in project.variants(name).values()
        for bundle in (run_bundle(project, run, seeds) for seeds in project.chunks(run))
    )


def load(project: Project, name: str, *, tensors: bool = False) -> Results:
    """Read every job of an experiment's variants. Raises UserError if one is missing or damaged."""
    frames, runs, labels, manifests, inputs, named = [], {}, {}, [], {}, {}
    for variant, (run, its_labels) in project.variants(name).items():
        runs[variant], labels[variant] = run, its_labels
        for seeds in project.chunks(run):
            bundle = finished_bundle(project, run, seeds)
            content = bundle.read(TABLE)
            frame = (
                pd.read_parquet(io.BytesIO(content)).drop(columns="experiment").assign(variant=variant, **its_labels)
            )
            frames.append(frame)
            manifests.append((variant, bundle.manifest()))
            inputs[str(bundle.folder / TABLE)] = sha256(content)
            if tensors:
                content = bundle.read(TENSORS)
                inputs[str(bundle.folder / TENSORS)] = sha256(content)
                named.setdefault(variant, []).append(safetensors.numpy.load(content))
    published = {}
    for variant, file in project.experiment(name).figure.published.items():
        content = (project.root / "data" / "published" / file).read_bytes()
        published[variant] = pd.read_csv(io.BytesIO(content))
        inputs[f"data/published/{file}"] = sha256(content)
    table = pd.concat(frames, ignore_index=True)
    return Results(
        name,
        project.experiment(name),
        project.scale_name,
        table,
        runs,
        labels,
        manifests,
        inputs,
        project.reduced(name),
        named,
        published,
    )


def summarize(results: Results) -> pd.DataFrame:
    """Mean, standard deviation and number of seeds of a quantity, by what SUMMARY_KEYS the table has.

    Teacher nodes are averaged before seeds are. NaN values (diverged seeds) are left out and not counted.
    """
    keys = [key for key in SUMMARY_KEYS if key in results.table]
    per_seed = results.table.groupby([*keys, "seed"], dropna=False, sort=False)["value"].mean()
    grouped = per_seed.groupby(keys, dropna=False, sort=False)
    summary = grouped.agg(["mean", "std", "count"]).rename(columns={"count": "seeds"})
    return summary.reset_index().sort_values(keys, kind="stable", ignore_index=True)
