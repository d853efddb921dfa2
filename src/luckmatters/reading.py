"""Results of an experiment, read from finished runs and checked."""

import io

import pandas as pd
import safetensors.numpy

from luckmatters.artefacts import TABLE, TENSORS, sha256
from luckmatters.config import Project
from luckmatters.jobs.bundles import finished_bundle, run_bundle
from luckmatters.tables.results import Results


def is_complete(project: Project, name: str) -> bool:
    """Whether every job of an experiment's variants has results."""
    return all(
        (bundle.folder / bundle.manifest_name).exists()
        for run, _ in project.variants(name).values()
        for bundle in (run_bundle(project, run, seeds) for seeds in project.chunks(run))
    )


def load(project: Project, name: str, *, tensors: bool = False) -> Results:
    """Results of all jobs of an experiment's variants. Raises UserError if a file is missing or damaged."""
    frames, runs, labels, manifests, inputs, snapshots = [], {}, {}, [], {}, {}
    for variant, (run, own_labels) in project.variants(name).items():
        runs[variant], labels[variant] = run, own_labels
        for seeds in project.chunks(run):
            bundle = finished_bundle(project, run, seeds)
            content = bundle.read(TABLE)
            frame = (
                pd.read_parquet(io.BytesIO(content)).drop(columns="experiment").assign(variant=variant, **own_labels)
            )
            frames.append(frame)
            manifests.append((variant, bundle.manifest()))
            inputs[str(bundle.folder / TABLE)] = sha256(content)
            if tensors:
                content = bundle.read(TENSORS)
                inputs[str(bundle.folder / TENSORS)] = sha256(content)
                snapshots.setdefault(variant, []).append(safetensors.numpy.load(content))
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
        snapshots,
        published,
    )
