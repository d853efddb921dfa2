"""Results of an experiment, read from finished runs or from what is kept, and checked."""

import io

import pandas as pd
import safetensors.numpy

from luckmatters.artefacts import TABLE, TENSORS, published_file, seed_label, sha256
from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.jobs.bundles import check_settings, result_bundles
from luckmatters.tables.files import under
from luckmatters.tables.results import Results


def is_complete(project: Project, name: str) -> bool:
    """Whether every job of an experiment's available variants has results, and there is a variant at all."""
    bundles = [bundle for run, _ in project.available(name).values() for bundle, _ in result_bundles(project, run)]
    return bool(bundles) and all((bundle.folder / bundle.manifest_name).exists() for bundle in bundles)


def load(project: Project, name: str, *, tensors: bool = False) -> Results:
    """Results of all jobs of an experiment's available variants.

    Raises UserError if a file is missing or damaged, or if no variant is available.
    """
    variants = project.available(name)
    if not variants:
        raise UserError(f"{name}: nothing is kept at scale {project.scale_name}; compute it with --config kept=use")
    frames, manifests, inputs, snapshots = [], [], {}, {}
    for variant, (run, labels) in variants.items():
        for bundle, seeds in result_bundles(project, run, tensors=tensors):
            check_settings(bundle, run)
            content = bundle.read(TABLE)
            frames.append(_table(content, variant, seeds).assign(**labels))
            inputs[str(bundle.folder / TABLE)] = sha256(content)
            manifest = bundle.manifest()
            jobs = [job for job in manifests_of(manifest) if set(job["seeds"]) & set(seeds)]
            manifests += [(variant, job) for job in jobs]
            if tensors:
                content = bundle.read(TENSORS)
                inputs[str(bundle.folder / TENSORS)] = sha256(content)
                named = safetensors.numpy.load(content)
                parts = [under(named, job_label(job)) for job in jobs] if "jobs" in manifest else [named]
                snapshots.setdefault(variant, []).extend(parts)
    published = {}
    for variant, file in project.experiment(name).figure.published.items():
        if variant not in variants:
            continue
        content = published_file(project.root, file).read_bytes()
        published[variant] = pd.read_csv(io.BytesIO(content))
        inputs[f"data/published/{file}"] = sha256(content)
    return Results(
        name,
        project.experiment(name),
        project.scale_name,
        pd.concat(frames, ignore_index=True),
        {variant: run for variant, (run, _) in variants.items()},
        {variant: labels for variant, (_, labels) in variants.items()},
        manifests,
        inputs,
        project.reduced(name),
        snapshots,
        published,
    )


def manifests_of(manifest: dict) -> list[dict]:
    """The manifests of the jobs behind a bundle: those in a kept result's manifest, or the manifest itself."""
    common = {key: value for key, value in manifest.items() if key not in ("jobs", "files", "seeds")}
    return [common | job for job in manifest["jobs"]] if "jobs" in manifest else [manifest]


def job_label(job: dict) -> str:
    """The label of a job's seeds, which precedes the names of the job's tensors where tensors are kept."""
    return f"seeds-{seed_label(job['seeds'])}"


def _table(content: bytes, variant: str, seeds: list[int]) -> pd.DataFrame:
    """The rows of some seeds; the variant is the first column."""
    table = pd.read_parquet(io.BytesIO(content)).drop(columns=["experiment", "variant"], errors="ignore")
    table = table[table["seed"].isin(seeds)].astype({"value": float})
    table.insert(0, "variant", variant)
    return table
