"""Verbs that read finished runs: summaries, figures, the ledger of claims, reference tables."""

import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from luckmatters import artefacts, comparison, kinds
from luckmatters.artefacts import TABLE
from luckmatters.config import Project
from luckmatters.config.files import choose
from luckmatters.dependencies import require_unchanged
from luckmatters.errors import UserError
from luckmatters.jobs.bundles import teacher_bundle, teacher_settings
from luckmatters.judging.statistics import LacksDataError
from luckmatters.judging.summaries import csv, summarize, summary_csv
from luckmatters.provenance import common_code, processor, provenance, require_clean, require_clean_code
from luckmatters.reading import is_complete, load
from luckmatters.tables.results import Results

FRAMES_A_SECOND = 4  # of an animation


def summary(project: Project, experiment: str) -> list[Path]:
    """Write an experiment's summary table with provenance; returns the table's path."""
    results, paths = load(project, experiment), artefacts.summary_files(project.figures, experiment)
    return _save({paths["csv"]: summary_csv(results)}, paths["json"], _origin(results))


def reference(project: Project, experiments: Sequence[str] = (), seconds: float | None = None) -> list[Path]:
    """Keep summary tables of experiments, with provenance, in data/reference; returns the paths.

    experiments: names; none means all experiments and the ledger. seconds: duration of a whole run in one piece; the
    file run.json then says so, with cores and processor.
    Raises UserError, before anything is written, unless the checkout equals its commit, all these experiments are
    complete, and committed code made their results and teachers: one commit, if the run was in one piece.
    """
    from luckmatters.ledger import judge_all, to_csv

    require_clean()
    names = experiments or list(project.experiments)
    if missing := [name for name in names if not is_complete(project, name)]:
        recipe = f"run snakemake --cores 2 --config scale={project.scale_name}"
        raise UserError(f"not complete at scale {project.scale_name}: {', '.join(missing)}; {recipe}")
    results = {name: load(project, name) for name in names}
    commits = _commits(project, results)
    code = common_code(commits) if seconds else require_clean_code(commits)

    def path(name: str) -> Path:
        return project.root / artefacts.reference_file(project.scale_name, name)

    # All contents are computed first: the first file written makes the checkout differ from the commit.
    kept = [({path(name): summary_csv(r)}, path(name).with_suffix(".json"), _origin(r)) for name, r in results.items()]
    if not experiments:
        judged = {name: results[name] for name in project.claimed_experiments}
        ledger = to_csv(judge_all(project, judged))
        kept.append(({path("claims"): ledger}, path("claims").with_suffix(".json"), made_from(project, judged)))
    if seconds and not experiments:
        machine = {"cores": os.cpu_count(), "processor": processor(), "experiments": len(names)}
        kept.append(({}, path("run").with_suffix(".json"), {"code": code, "seconds": seconds, **machine}))
    return [path for files, sidecar, origin in kept for path in _save(files, sidecar, origin) or [sidecar]]


def _commits(project: Project, results: Mapping[str, Results]) -> dict[str, set[str]]:
    """Commits behind each experiment's results, and behind the teachers used, unless results are kept without them."""
    commits = {name: {manifest["code"]["commit"] for _, manifest in r.manifests} for name, r in results.items()}
    runs = [run for r in results.values() for run in r.runs.values() if run.teacher]
    for name in sorted({run.trained.settings.teacher.name for run in runs}):
        bundle = teacher_bundle(project, name)
        if (bundle.folder / bundle.manifest_name).exists():
            commits[f"teachers/{name}"] = {bundle.manifest()["code"]["commit"]}
    return commits


def reference_teacher(project: Project, teacher: str) -> list[Path]:
    """Write a trained teacher and the table of the training to data/reference; returns the paths.

    Raises UserError if the teacher's init is not trained, or if the teacher was trained with other settings.
    """
    spec = project.teachers[choose(teacher, project.teachers, "teacher")]
    if not spec.learning:
        raise UserError(f"teacher {teacher} has init {spec.init}: only trained ones have accuracies to keep")
    bundle = teacher_bundle(project, teacher)
    manifest = bundle.manifest()
    if manifest.get("settings") != teacher_settings(spec):
        raise UserError(f"{bundle.folder}: was made with other settings than config/ has; {bundle.recipe}")
    table = pd.read_parquet(io.BytesIO(bundle.read(TABLE))).drop(columns="layer")
    path = project.root / artefacts.teacher_reference_file(project.scale_name, teacher)
    origin = {
        **manifest,
        "scale": project.scale_name,
        "reduced": spec.reduced,
        "published_accuracy": spec.published_accuracy,
        "teacher_files": manifest["files"],
        "written_with": provenance(),
    }
    files = {path: csv(table), path.with_suffix(".safetensors"): bundle.read(artefacts.TENSORS)}
    return _save(files, path.with_suffix(".json"), origin)


def figure(project: Project, experiment: str) -> list[Path]:
    """Render an experiment's figure as PDF, PNG and SVG, with provenance; returns the paths."""
    layout = project.experiment(experiment).figure.layout
    results = load(project, experiment, tensors=kinds.draws_tensors(project.experiment(experiment)))
    try:
        drawn = kinds.load(kinds.figure_name(layout)).draw(results, results.published)
    except LacksDataError as error:
        raise UserError(f"figure {experiment}: layout {layout}: {error}; add it, or choose another layout") from None
    origin, paths = _origin(results), artefacts.figure_files(project.figures, experiment)
    rendered = _rendered(drawn, f"{experiment}: {results.experiment.question}", origin)
    return _save({paths[kind]: content for kind, content in rendered.items()}, paths["json"], origin)


def published(project: Project) -> list[Path]:
    """Compare all experiments with the published curves: tables and a picture, with provenance; returns the paths.

    Incomplete experiments are left out. Raises UserError if none is left.
    """
    from luckmatters.drawing.published import draw

    results = complete(project, project.compared_experiments)
    if not results:
        raise UserError(
            f"scale {project.scale_name}: there is no finished experiment with published curves; run "
            "snakemake with scale=laptop or scale=paper first"
        )
    table = comparison.compare(project, {name: summarize(found) for name, found in results.items()})
    origin, paths = made_from(project, results), artefacts.comparison_files(project.figures)
    spreads = [kept.bundle.folder / TABLE for kept in project.kept_spreads.values()]
    for path in [project.root / "config" / "published.yaml", *spreads]:
        origin["inputs"][path.relative_to(project.root).as_posix()] = artefacts.sha256(path.read_bytes())
    files = {paths["points"]: csv(table), paths["summary"]: csv(comparison.summarize(project, table))}
    rendered = _rendered(draw(table, project.scale_name), "Published curves beside ours", origin)
    files |= {paths[kind]: rendered[kind] for kind in ("png", "pdf")}
    return _save(files, paths["json"], origin)


def _rendered(drawn, title: str, origin: dict) -> dict[str, bytes]:
    """A figure as the content of a PNG, a PDF and an SVG file, with title and provenance; always the same bytes."""
    rendered, text = {}, _json(origin).decode()
    for kind, metadata in {"png": {"Description": text},
                           "pdf": {"Subject": text, "CreationDate": None, "ModDate": None},
                           "svg": {"Description": text, "Date": None}}.items():  # fmt: skip
        buffer = io.BytesIO()
        drawn.savefig(buffer, format=kind, dpi=160, metadata={"Title": title, **metadata})
        drawn.set_layout_engine("none")  # the other files keep the layout of the first
        rendered[kind] = buffer.getvalue()
    return rendered


def animation(project: Project, experiment: str) -> list[Path]:
    """Render an experiment's animation as GIF, with provenance; returns the path.

    Raises UserError if the experiment's layout has no animation.
    """
    layout = project.experiment(experiment).figure.layout
    if not kinds.layouts()[layout][1].animated:
        raise UserError(f"experiment {experiment}: layout {layout} has no animation; draw its figure")
    results = load(project, experiment, tensors=kinds.draws_tensors(project.experiment(experiment)))
    drawn, frame, count = kinds.load(kinds.figure_name(layout)).animate(results)
    from matplotlib.animation import FuncAnimation, PillowWriter

    with tempfile.TemporaryDirectory() as folder:  # the writer wants a path
        path = Path(folder) / "animation.gif"
        FuncAnimation(drawn, frame, frames=count, init_func=lambda: None).save(
            path, writer=PillowWriter(fps=FRAMES_A_SECOND), dpi=100
        )
        content = path.read_bytes()
    paths = artefacts.animation_files(project.figures, experiment)
    return _save({paths["gif"]: content}, paths["json"], _origin(results))


def claims(project: Project) -> str:
    """Judge every claim, write the ledger, and return the ledger as text. Incomplete experiments are left out."""
    from luckmatters.ledger import judge_all, to_csv, to_markdown

    results = complete(project, project.claimed_experiments)
    verdicts = judge_all(project, results)
    text = to_markdown(project, verdicts)
    files = artefacts.claims_files(project.figures)
    _save({files["md"]: text.encode(), files["csv"]: to_csv(verdicts)}, files["json"], made_from(project, results))
    return text


def complete(project: Project, names: Iterable[str]) -> dict[str, Results]:
    """The results of those experiments that are complete, by name."""
    return {name: load(project, name) for name in names if is_complete(project, name)}


def made_from(project: Project, results: Mapping[str, Results]) -> dict:
    """Provenance of what is concluded from several experiments: a ledger, a comparison, a report."""
    return {
        "scale": project.scale_name,
        "inputs": {path: checksum for r in results.values() for path, checksum in r.inputs.items()},
        "made_with": distinct(manifest for r in results.values() for _, manifest in r.manifests),
        "judged_with": provenance(),
    }


def verify(project: Project) -> int:
    """Compare every file of the scale in force with the recorded checksum; returns the number of files.

    Raises UserError with a line for each missing or altered file, or if there are no files.
    """
    recipe = f"make it again with: snakemake --cores 1 --config scale={project.scale_name}"
    places = [(path.parent, path.name) for path in sorted(project.results.rglob(artefacts.MANIFEST))]
    places += [(project.figures, path.name) for path in sorted(project.figures.glob("*.json"))]
    bundles = [artefacts.Bundle(*place, recipe) for place in places]
    kept = artefacts.kept_folder(project.root, project.scale_name)
    bundles += [artefacts.Bundle(path.parent) for path in sorted(kept.rglob(artefacts.MANIFEST))]
    count, faults = 0, []
    for bundle in bundles:
        try:
            names = list(bundle.manifest()["files"])
        except UserError as error:
            faults.append(str(error))
            continue
        for name in names:
            count += 1
            try:
                bundle.read(name)
            except UserError as error:
                faults.append(str(error))
    if faults:
        raise UserError("\n".join(faults))
    if not count:
        raise UserError(f"{project.results} and {project.figures}: hold no results to verify; run snakemake first")
    return count


def distinct(manifests: Iterable[dict]) -> list[dict]:
    """Distinct combinations of code, libraries, device, processor, card and threads among manifests of jobs."""
    keys = ("code", "python", "libraries", "device", "processor", "card", "threads")
    return list({repr(entry): entry for entry in ({key: m.get(key) for key in keys} for m in manifests)}.values())


def _origin(results: Results) -> dict:
    """Provenance of a figure or table."""
    return {
        "experiment": results.name,
        "question": results.experiment.question,
        "scale": results.scale,
        "variants": {
            variant: {
                "run": f"{run.experiment}/{run.variant}",
                "seeds": run.seeds,
                "settings": run.trained.settings.model_dump(mode="json", exclude={"seeds"}),
                "measured": run.settings.model_dump(mode="json") if run.source else None,
                "teacher": run.teacher and run.teacher.model_dump(mode="json", exclude_none=True),
            }
            for variant, run in results.runs.items()
        },
        "config_hashes": sorted({manifest["config_hash"] for _, manifest in results.manifests}),
        "data": sorted({manifest["data"] for _, manifest in results.manifests}),
        "inputs": results.inputs,
        "made_with": distinct(manifest for _, manifest in results.manifests),
        "drawn_with": provenance(),
        "reduced": results.reduced,
        "known": results.experiment.known,
        "chosen": results.experiment.chosen,
    }


def _save(files: Mapping[Path, bytes], sidecar: Path, origin: dict) -> list[Path]:
    """Write files, and a sidecar with their provenance and checksums; returns the files' paths.

    Raises UserError if a file cannot be written, or if the code has changed since the process started.
    """
    require_unchanged()
    artefacts.Bundle(sidecar.parent, sidecar.name).save({path.name: content for path, content in files.items()}, origin)
    return list(files)


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
