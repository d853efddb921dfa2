"""Verbs that read finished runs: summaries, figures, the ledger of claims, reference tables."""

import importlib
import io
import json

import pandas as pd

from luckmatters import artefacts
from luckmatters.config import Project
from luckmatters.provenance import provenance
from luckmatters.results import Results, is_complete, load, summarize


def summary_csv(results: Results) -> bytes:
    """The summary table as CSV, with the digits that float32 results carry."""
    return summarize(results).to_csv(index=False, float_format="%.7g", lineterminator="\n").encode()


def summary(project: Project, experiment: str) -> None:
    """Write an experiment's summary table, and its provenance beside it."""
    results = load(project, experiment)
    path = artefacts.summary_file(project.figures, experiment)
    artefacts.write(path, summary_csv(results))
    artefacts.write(path.with_suffix(".csv.json"), _sidecar(results))


def reference(project: Project, experiment: str) -> None:
    """Write an experiment's summary table, with its provenance, where regression tests compare new ones with it."""
    results = load(project, experiment)
    path = project.root / artefacts.reference_file(project.scale_name, experiment)
    artefacts.write(path, summary_csv(results))
    artefacts.write(path.with_suffix(".json"), _sidecar(results))


def figure(project: Project, experiment: str) -> None:
    """Render an experiment's figure as PDF and PNG, its provenance in the files and beside them."""
    results = load(project, experiment)
    options = results.experiment.figure
    published = {
        variant: pd.read_csv(project.root / "data" / "published" / file) for variant, file in options.published.items()
    }
    layout = importlib.import_module(f"luckmatters.figures.layouts.{options.layout.replace('-', '_')}")
    drawn = layout.draw(results, published)
    title, origin = f"{experiment}: {results.experiment.question}", _sidecar(results).decode()
    files = artefacts.figure_files(project.figures, experiment)
    dates = {"CreationDate": None, "ModDate": None}  # the same input gives the same bytes
    for kind, metadata in {"pdf": {"Title": title, "Subject": origin, **dates},
                           "png": {"Title": title, "Description": origin}}.items():  # fmt: skip
        buffer = io.BytesIO()
        drawn.savefig(buffer, format=kind, dpi=160, metadata=metadata)
        artefacts.write(files[kind], buffer.getvalue())
    artefacts.write(files["json"], _sidecar(results))


def claims(project: Project) -> str:
    """Judge every claim, write the ledger, and return it as text; what lacks an experiment's results is not run."""
    from luckmatters.claims.ledger import judge_all, to_csv, to_markdown

    needed = sorted({name for claim in project.claims.values() for name in claim.experiments})
    verdicts = judge_all(project, {name: load(project, name) for name in needed if is_complete(project, name)})
    text = to_markdown(project, verdicts)
    files = artefacts.claims_files(project.figures)
    artefacts.write(files["md"], text.encode())
    artefacts.write(files["csv"], to_csv(verdicts))
    return text


def _sidecar(results: Results) -> bytes:
    """Provenance of a figure or table as JSON."""
    first = results.manifests[0]
    content = {
        "experiment": results.name,
        "question": results.experiment.question,
        "scale": results.scale,
        "variants": {
            variant: {"run": f"{run.experiment}/{run.variant}", "seeds": run.seeds}
            for variant, run in results.runs.items()
        },
        "config_hashes": sorted({manifest["config_hash"] for manifest in results.manifests}),
        "data": sorted({manifest["data"] for manifest in results.manifests}),
        "inputs": results.inputs,
        "trained_with": {key: first[key] for key in ("code", "python", "libraries", "threads")},
        "drawn_with": provenance(),
        "known": results.experiment.known,
        "chosen": results.experiment.chosen,
    }
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
