"""Keeping finished results in data/kept, so that nobody needs to compute them again, and what is kept."""

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.numpy

from luckmatters import artefacts, kinds
from luckmatters.artefacts import TABLE, TENSORS, Bundle
from luckmatters.config import Project
from luckmatters.config.kept import FORMAT, kept_bundle, kept_name
from luckmatters.costs import in_words
from luckmatters.errors import UserError
from luckmatters.jobs.bundles import finished_bundle
from luckmatters.provenance import common_code, require_clean
from luckmatters.reading import job_label
from luckmatters.settings.experiment import Run

LIMIT = 30_000_000  # bytes of all kept results: a clone stays small
TENSORS_LIMIT = 1_500_000  # bytes of a variant's tensors that a figure draws; beyond, figures need the run itself
# Entries that the manifests of all jobs of a run have in common.
COMMON = ("experiment", "variant", "scale", "kind", "config_hash", "settings", "teacher")

Drawn = Callable[[list[dict[str, np.ndarray]]], list[dict[str, np.ndarray]]]  # tensors of jobs -> what is drawn


def keep(project: Project, names: Sequence[str], seeds: Sequence[int] | None = None) -> list[Path]:
    """Write finished runs to data/kept; returns the folders.

    names: experiments, or variants as ``experiment/variant``; seeds: those to keep (default: all of each run).
    Raises UserError, before anything is written, if the checkout differs from its commit, a run is declared superseded,
    a seed is missing, several commits made the results, or all that is kept would take more than LIMIT.
    """
    require_clean()
    contents, commits = {}, {}
    for run in (run for name in names for run in _runs(project, name)):
        if (name := kept_name(run)) in project.superseded:
            raise UserError(f"{artefacts.SUPERSEDED}: {name}: remove the entry before you keep the run")
        bundles = _finished(project, run, run.seeds if seeds is None else seeds)
        files, manifest = _content(bundles, _drawn(project, run))
        contents[kept_bundle(project, run)] = files, manifest
        commits[f"{run.experiment}/{run.variant}"] = {job["code"]["commit"] for job in manifest["jobs"]}
    common_code(commits)
    _check_size(project, {bundle: files for bundle, (files, _) in contents.items()})
    for bundle, (files, manifest) in contents.items():
        bundle.save(files, manifest)
    return [bundle.folder for bundle in contents]


def describe(project: Project) -> str:
    """Text on what is kept of every experiment, and on what the rest costs and how it is computed."""
    lines, size = [], _size(artefacts.kept_folder(project.root, project.scale_name))
    for name in project.experiments:
        kept, rest = [], []
        for variant, run in project.own_runs(name).items():
            seeds = found.seeds if (found := project.kept(run)) else []
            kept += [f"{variant} {len(seeds)} seeds"] if seeds else []
            rest += [run.model_copy(update={"seeds": [seed for seed in run.seeds if seed not in seeds]})]
        rest = [run for run in rest if run.seeds]
        lines.append(f"{name}: kept: {', '.join(kept) or 'nothing'}")
        if rest:
            command = f"snakemake --cores 2 --config scale={project.scale_name} kept=use -- "
            command += str(artefacts.figure_files(project.figures, name)["png"])
            missing = ", ".join(f"{run.variant} {len(run.seeds)} seeds" for run in rest)
            lines.append(f"  not kept: {missing} ({in_words(rest)}); compute with: {command}")
    head = f"scale {project.scale_name}: {size / 1e6:.1f} MB of kept results; `kept` is {project.keeping}"
    return "\n".join([head, *lines])


def _runs(project: Project, name: str) -> list[Run]:
    """The runs that a name means: ``experiment``, or ``experiment/variant``. Raises UserError for an unknown name."""
    experiment, _, variant = name.partition("/")
    return [project.run(experiment, variant)] if variant else list(project.own_runs(experiment).values())


def _finished(project: Project, run: Run, seeds: Sequence[int]) -> list[Bundle]:
    """The bundles of a run's jobs for some seeds. Raises UserError if a seed is missing."""
    name, chunks = (
        f"{run.experiment}/{run.variant}",
        [chunk for chunk in project.chunks(run) if set(chunk) <= set(seeds)],
    )
    if missing := set(seeds) - {seed for chunk in chunks for seed in chunk}:
        raise UserError(f"{name}: has no jobs for the seeds {artefacts.seed_label(sorted(missing))} alone; see --seeds")
    return [finished_bundle(project, run, chunk) for chunk in chunks]


def _drawn(project: Project, run: Run) -> Drawn | None:
    """The function that selects what a figure draws of the tensors of a run's jobs; None if no figure draws any."""
    layouts = {
        experiment.figure.layout
        for name, experiment in project.experiments.items()
        if kinds.draws_tensors(experiment) and run in [other for other, _ in project.variants(name).values()]
    }
    selections = [getattr(kinds.load(kinds.figure_name(layout)), "drawn", None) for layout in layouts]
    return (selections[0] if len(selections) == 1 and selections[0] else list) if layouts else None


def _content(bundles: Sequence[Bundle], drawn: Drawn | None) -> tuple[dict[str, bytes], dict]:
    """The files and the manifest of a run's kept results; values of the table in single precision.

    drawn: see :func:`_drawn`.
    """
    manifests = [bundle.manifest() for bundle in bundles]
    tables = [pd.read_parquet(io.BytesIO(bundle.read(TABLE))) for bundle in bundles]
    table = pd.concat(tables, ignore_index=True).drop(columns=["experiment", "variant"])
    jobs = [{key: value for key, value in job.items() if key not in COMMON} for job in manifests]
    files = {TABLE: compressed(table.astype({"value": "float32"}))}
    if drawn:
        parts = drawn([safetensors.numpy.load(bundle.read(TENSORS)) for bundle in bundles])
        named = {
            f"{job_label(job)}/{name}": np.ascontiguousarray(value)
            for job, part in zip(jobs, parts, strict=True)
            for name, value in part.items()
        }
        content = safetensors.numpy.save(named)
        files |= {TENSORS: content} if len(content) <= TENSORS_LIMIT else {}
    seeds = sorted(seed for job in jobs for seed in job["seeds"])
    common = {key: manifests[0].get(key) for key in COMMON}
    return files, {**common, "format": FORMAT, "seeds": seeds, "jobs": jobs}


def _check_size(project: Project, contents: Mapping[Bundle, Mapping[str, bytes]]) -> None:
    """Raises UserError if the kept results of all scales would take more than LIMIT with these files."""
    replaced = {bundle.folder / name for bundle, files in contents.items() for name in files}
    size = _size(artefacts.kept_folder(project.root), without=replaced)
    size += sum(len(content) for files in contents.values() for content in files.values())
    if size > LIMIT:
        raise UserError(
            f"data/kept: would take {size / 1e6:.0f} MB, at most {LIMIT / 1e6:.0f} are kept; keep fewer seeds"
        )


def _size(folder: Path, without: Collection[Path] = ()) -> int:
    """Bytes of all files in a folder, at any depth."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path not in without)


def compressed(table: pd.DataFrame) -> bytes:
    """A table as the bytes of a small Parquet file."""
    buffer = io.BytesIO()
    coded = [name for name in table if name != "value"]
    table.to_parquet(
        buffer, index=False, compression="zstd", compression_level=19, use_dictionary=coded,
        use_byte_stream_split=["value"],
    )  # fmt: skip
    return buffer.getvalue()
