"""Verbs that read finished runs: summaries, figures, the ledger of claims, reference tables."""

import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from luckmatters import artefacts, kinds
from luckmatters.config import Project
from luckmatters.config.files import choose
from luckmatters.errors import UserError
from luckmatters.jobs.bundles import teacher_bundle, teacher_settings
from luckmatters.judging.statistics import LacksDataError
from luckmatters.judging.summaries import csv, summary_csv
from luckmatters.kinds import layouts
from luckmatters.provenance import is_clean, processor, provenance, require_clean
from luckmatters.reading import is_complete, load
from luckmatters.tables.results import Results

FRAMES_A_SECOND = 4  # of an animation


def summary(project: Project, experiment: str) -> list[Path]:
    """Write an experiment's summary table, and its provenance beside it; the table's path."""
    results, paths = load(project, experiment), artefacts.summary_files(project.figures, experiment)
    return _save({paths["csv"]: summary_csv(results)}, paths["json"], _origin(results))


def reference(project: Project, experiments: Sequence[str] = (), seconds: float | None = None) -> list[Path]:
    """Keep the summary tables of these experiments, with provenance, in data/reference; their paths.

    Without a name: of every experiment, with the ledger, and (run.json) how many seconds the whole run took on this
    machine. Raises UserError, before anything is written, unless the checkout is as committed, all of these experiments
    are complete, and one commit made them and the teachers behind them.
    """
    from luckmatters.ledger import judge_all, to_csv

    require_clean()
    names = experiments or list(project.experiments)
    if missing := [name for name in names if not is_complete(project, name)]:
        recipe = f"run snakemake --cores 2 --config scale={project.scale_name}"
        raise UserError(f"not complete at scale {project.scale_name}: {', '.join(missing)}; {recipe}")
    results = {name: load(project, name) for name in names}
    code = _common_code(_commits(project, results))

    def path(name: str) -> Path:
        return project.root / artefacts.reference_file(project.scale_name, name)

    # All contents first: the first file written makes the checkout differ from its commit.
    kept = [
        ({path(name): summary_csv(one)}, path(name).with_suffix(".json"), _origin(one)) for name, one in results.items()
    ]
    if not experiments:
        judged = {name: results[name] for name in project.claimed_experiments}
        ledger = to_csv(judge_all(project, judged))
        kept.append(({path("claims"): ledger}, path("claims").with_suffix(".json"), _judged_from(project, judged)))
        machine = {"cores": os.cpu_count(), "processor": processor()}
        kept.append(({}, path("run").with_suffix(".json"), {"code": code, "seconds": seconds, **machine}))
    return [path for files, sidecar, origin in kept for path in _save(files, sidecar, origin) or [sidecar]]


def _commits(project: Project, results: Mapping[str, Results]) -> dict[str, set[str]]:
    """The commits that made each experiment's results, and the teachers behind them."""
    found = {name: {manifest["code"]["commit"] for _, manifest in one.manifests} for name, one in results.items()}
    runs = [run for one in results.values() for run in one.runs.values() if run.teacher]
    for name in sorted({run.trained.settings.teacher.name for run in runs}):
        found[f"teachers/{name}"] = {teacher_bundle(project, name).manifest()["code"]["commit"]}
    return found


def _common_code(commits: Mapping[str, set[str]]) -> str:
    """The commit that made everything. Raises UserError if there are several, or if it does not say all of the code."""
    made: dict[str, list[str]] = {}
    for name, its in commits.items():
        for code in its:
            made.setdefault(code, []).append(name)
    if len(made) == 1 and is_clean(code := next(iter(made))):
        return code
    said = "; ".join(f"{code}: {', '.join(names)}" for code, names in sorted(made.items()))
    raise UserError(f"numbers are kept only if one commit, without changes, made them all; these were made by {said}")


def reference_teacher(project: Project, teacher: str) -> list[Path]:
    """Write a teacher that was trained on labels, and the table of its training, to data/reference; the files' paths.

    Raises UserError if the teacher is not one that is trained, or has not been with the settings of the configuration.
    """
    spec = project.teachers[choose(teacher, project.teachers, "teacher")]
    if not spec.pretraining:
        raise UserError(f"teacher {teacher} has init {spec.init}: only pretrained ones have accuracies to keep")
    bundle = teacher_bundle(project, teacher)
    manifest = bundle.manifest()
    if manifest.get("settings") != teacher_settings(spec):
        raise UserError(f"{bundle.folder}: was made with other settings than config/ has; {bundle.recipe}")
    table = pd.read_parquet(io.BytesIO(bundle.read(artefacts.TABLE))).drop(columns="layer")
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
    """Render an experiment's figure as PDF and PNG, its provenance in the files and beside them; their paths."""
    options = project.experiment(experiment).figure
    results = load(project, experiment, tensors=layouts()[options.layout][1].tensors)
    try:
        drawn = kinds.load(kinds.figure_name(options.layout)).draw(results, results.published)
    except LacksDataError as error:
        raise UserError(
            f"figure {experiment}: layout {options.layout}: {error}; add it, or choose another layout"
        ) from None
    title, origin = f"{experiment}: {results.experiment.question}", _origin(results)
    paths, rendered = artefacts.figure_files(project.figures, experiment), {}
    dates = {"CreationDate": None, "ModDate": None}  # the same input gives the same bytes
    text = _json(origin).decode()
    for kind, metadata in {"png": {"Title": title, "Description": text},
                           "pdf": {"Title": title, "Subject": text, **dates}}.items():  # fmt: skip
        buffer = io.BytesIO()
        drawn.savefig(buffer, format=kind, dpi=160, metadata=metadata)
        drawn.set_layout_engine("none")  # everything stays where it was placed for the first file
        rendered[paths[kind]] = buffer.getvalue()
    return _save(rendered, paths["json"], origin)


def animation(project: Project, experiment: str) -> list[Path]:
    """Render an experiment's animation as GIF, its provenance beside it; its path.

    Raises UserError if its layout has none.
    """
    options = project.experiment(experiment).figure
    if not layouts()[options.layout][1].animated:
        raise UserError(f"experiment {experiment}: layout {options.layout} has no animation; draw its figure")
    results = load(project, experiment, tensors=layouts()[options.layout][1].tensors)
    drawn, frame, count = kinds.load(kinds.figure_name(options.layout)).animate(results)
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
    """Judge every claim, write the ledger, and return it as text; what lacks an experiment's results is not run."""
    from luckmatters.ledger import judge_all, to_csv, to_markdown

    results = {name: load(project, name) for name in project.claimed_experiments if is_complete(project, name)}
    verdicts = judge_all(project, results)
    text = to_markdown(project, verdicts)
    files = artefacts.claims_files(project.figures)
    _save({files["md"]: text.encode(), files["csv"]: to_csv(verdicts)}, files["json"], _judged_from(project, results))
    return text


def _judged_from(project: Project, results: Mapping[str, Results]) -> dict:
    """Provenance of a ledger."""
    return {
        "scale": project.scale_name,
        "inputs": {path: checksum for one in results.values() for path, checksum in one.inputs.items()},
        "made_with": distinct(manifest for one in results.values() for _, manifest in one.manifests),
        "judged_with": provenance(),
    }


def verify(project: Project) -> int:
    """Compare every file of the scale in force with the checksum that was recorded when it was made.

    Returns how many there are. Raises UserError with a line for each that is missing or altered, or if there is none.
    """
    recipe = f"make it again with: snakemake --cores 1 --config scale={project.scale_name}"
    places = [(path.parent, path.name) for path in sorted(project.results.rglob(artefacts.MANIFEST))]
    places += [(project.figures, path.name) for path in sorted(project.figures.glob("*.json"))]
    bundles = [artefacts.Bundle(*place, recipe) for place in places]
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
    """The different combinations of code, libraries, device, card and threads that jobs were run with."""
    keys = ("code", "python", "libraries", "device", "card", "threads")
    return list({repr(one): one for one in ({key: m.get(key) for key in keys} for m in manifests)}.values())


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
    """Write files and, beside them, where they come from, with their checksums; the files' paths."""
    artefacts.Bundle(sidecar.parent, sidecar.name).save({path.name: one for path, one in files.items()}, origin)
    return list(files)


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
