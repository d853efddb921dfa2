"""Inputs and outputs of every rule of the workflow, from paths and settings. Imports no Snakemake."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from luckmatters import artefacts, cifar10
from luckmatters.artefacts import MANIFEST, TABLE, TENSORS
from luckmatters.config import Project
from luckmatters.config.files import choose
from luckmatters.dependencies import PACKAGE, closure
from luckmatters.errors import UserError
from luckmatters.jobs.bundles import result_bundles
from luckmatters.kinds import claims_names, draws_tensors, figure_name, layouts, registry, run_name, verb
from luckmatters.settings.base import Verb
from luckmatters.settings.experiment import Run, config_hash, teacher_hash


class Wildcards(Protocol):
    """Parts of a file's name, as Snakemake passes them to a rule's functions."""

    experiment: str
    variant: str
    seeds: str
    teacher: str


class Plan:
    """The workflow's files at the scale in force. Methods with wildcards are input functions of rules."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def everything(self) -> list[Path]:
        """The default targets: what the report shows, and the report."""
        return [*self.shown(), *artefacts.report_files(self.project.figures).values()]

    def shown(self) -> list[Path]:
        """What the report shows: each experiment's figure, animation if any, and summary; comparison and ledger.

        Where kept results alone are shown, experiments without them have no targets.
        """
        place, shown = self.project.figures, [name for name in self.project.experiments if self.project.available(name)]
        drawn = [name for name in shown if self._is_drawn(name)]
        files = [artefacts.figure_files(place, name) for name in drawn]
        files += [artefacts.animation_files(place, name) for name in drawn if name in self.animated]
        files += [artefacts.comparison_files(place)] if self.project.compared_experiments else []
        tables = [artefacts.summary_files(place, name)["csv"] for name in shown]
        return [*(path for each in files for path in each.values()), *tables, *artefacts.claims_files(place).values()]

    @property
    def animated(self) -> list[str]:
        """The experiments whose layout has an animation."""
        return [name for name, e in self.project.experiments.items() if layouts()[e.figure.layout][1].animated]

    def _is_drawn(self, experiment: str) -> bool:
        """Whether there is, or may be computed, what an experiment's figure draws."""
        project, layout = self.project, layouts()[self.project.experiment(experiment).figure.layout][1]
        if project.keeping != "only":
            return True
        kept = project.available(experiment)
        if layout.whole and len(kept) < len(project.variants(experiment)):
            return False
        return not layout.tensors or all(project.kept(run).tensors for run, _ in kept.values())

    def cifar10_kind(self) -> str:
        """Kind and limit of the images: real or synthetic. Snakemake decodes the images again when the text changes."""
        settings, scale = self.project.settings.cifar10, self.project.scale
        source, _ = cifar10.resolve(settings.source, settings.path, os.environ, scale.cifar10_default)
        return f"{'synthetic' if source == 'synthetic' else 'images'}, limit {scale.cifar10_limit}"

    def teachers(self, *, trained: bool) -> str:
        """Names of trained, or of untrained, teachers as a regular expression for a wildcard."""
        names = (name for name, spec in self.project.teachers.items() if (spec.init == "trained") == trained)
        return "|".join(names) or "none"

    def job(self, run: Run, seeds: str) -> dict[str, Path]:
        """The files of a job."""
        return artefacts.bundle_files(artefacts.run_folder(self.project.results, run.experiment, run.variant, seeds))

    def names(self, *steps: str) -> str:
        """Names of experiments with one of the verbs `steps` (default: any) as a regular expression for a wildcard."""
        experiments = self.project.experiments.items()
        return "|".join(name for name, e in experiments if not steps or registry()[e.kind].verb in steps) or "none"

    def verb(self, wildcards: Wildcards) -> Verb:
        """The verb that runs a job."""
        return verb(self.project.run(wildcards.experiment, wildcards.variant))

    def job_inputs(self, wildcards: Wildcards) -> dict[str, list[Path]]:
        """Inputs of a job: the training job to measure, the teacher, the images, and the code of the kind."""
        run, results = self.project.run(wildcards.experiment, wildcards.variant), self.project.results
        trained = run.trained.settings
        labelled = run.teacher and trained.data.kind == "cifar10"
        return {
            "trained": list(self.job(run.source, wildcards.seeds).values()) if run.source else [],
            "teacher": [artefacts.teacher_folder(results, trained.teacher.name) / TENSORS] if run.teacher else [],
            "images": [artefacts.cifar10_folder(results) / TENSORS] if labelled else [],
            "code": closure(run_name(run.kind)),
        }

    def pretrained_inputs(self, wildcards: Wildcards) -> dict[str, list[Path]]:
        """Inputs of a pretrained network besides weights: published numbers, a committed table, the reader's code."""
        run, root = self.project.run(wildcards.experiment, wildcards.variant), self.project.root
        committed, _ = artefacts.pretrained_folders(root, run.settings.model)
        return {
            "published": artefacts.published_norms(root),
            "committed": sorted(committed.glob("*")),
            "reader": closure("pretrained"),
        }

    def tables(self, experiment: str, *, tensors: bool = False) -> list[Path]:
        """Tables of an experiment's variants, own and included, with manifests, and with tensors if asked for.

        They are outputs of jobs, or kept.
        """
        return [
            path
            for run, _ in self.project.available(experiment).values()
            for bundle, _ in result_bundles(self.project, run, tensors=tensors)
            for name, path in artefacts.bundle_files(bundle.folder).items()
            if tensors or name != "tensors"
        ]

    def published(self, experiment: str) -> list[Path]:
        """Files of published numbers that an experiment is drawn or compared with."""
        files = self.project.experiment(experiment).figure.published.values()
        return [artefacts.published_file(self.project.root, name) for name in sorted(set(files))]

    def experiment_tables(self, wildcards: Wildcards) -> list[Path]:
        """Inputs of a summary: the experiment's tables and published numbers."""
        return [*self.tables(wildcards.experiment), *self.published(wildcards.experiment)]

    def figure_inputs(self, wildcards: Wildcards) -> dict[str, list[Path]]:
        """Inputs of a figure: tables, published curves, and the code of the layout."""
        experiment = self.project.experiment(wildcards.experiment)
        return {
            "tables": self.tables(wildcards.experiment, tensors=draws_tensors(experiment)),
            "published": self.published(wildcards.experiment),
            "code": closure(figure_name(experiment.figure.layout), "reading"),
        }

    def claims_inputs(self) -> dict[str, list[Path]]:
        """Inputs of the ledger: tables of every experiment that a claim names, published numbers, claims, and code."""
        names = self.project.claimed_experiments
        return {
            "tables": list(dict.fromkeys(path for name in names for path in self.tables(name))),
            "published": list(dict.fromkeys(path for name in names for path in self.published(name))),
            "claims": [self.project.root / "config" / "claims.yaml"],
            "code": closure("ledger", "reading", *claims_names()),
        }

    def comparison_inputs(self) -> dict[str, list[Path]]:
        """Inputs of the comparison: tables of experiments with published curves, these curves, and causes.

        The kept spread over teachers is an input if there is one.
        """
        names, root = self.project.compared_experiments, self.project.root
        return {
            "tables": list(dict.fromkeys(path for name in names for path in self.tables(name))),
            "published": list(dict.fromkeys(path for name in names for path in self.published(name))),
            "spread": [kept.bundle.folder / TABLE for kept in self.project.kept_spreads.values()],
            "causes": [root / "config" / "published.yaml"],
            "code": closure("comparison", "judging.summaries", "drawing.published", "reading"),
        }

    def report_inputs(self) -> dict[str, list[Path]]:
        """Inputs of the report: what is shown, tables, settings, what is kept at all scales, templates, and code."""
        root = self.project.root
        kept = artefacts.kept_folder(root).glob(f"*/*/*/{MANIFEST}")
        pages = [path for name in ("templates", "translations") for path in (PACKAGE / "report" / name).iterdir()]
        return {
            "shown": self.shown(),
            "tables": list(dict.fromkeys(path for name in self.project.experiments for path in self.tables(name))),
            "settings": sorted((root / "config").rglob("*.yaml")),
            "kept": sorted(kept),
            "pages": sorted(Path(os.path.relpath(path)) for path in pages),
            "code": closure("report.pages", "ledger", "comparison", "judging.summaries", "reading", *claims_names()),
        }

    def comparison_hash(self) -> str:
        """Hash of the comparison's other inputs: which variants are compared with which files."""
        files = {name: self.project.experiment(name).figure.published for name in self.project.compared_experiments}
        return artefacts.sha256(repr(files).encode())

    def claims_hash(self) -> str:
        """Hash of the ledger's other inputs: labels of variants and the scale's purpose."""
        names = self.project.claimed_experiments
        labels = {name: {v: labels for v, (_, labels) in self.project.available(name).items()} for name in names}
        return artefacts.sha256(repr((labels, self.project.scale.purpose)).encode())

    def teacher_hash(self, wildcards: Wildcards) -> str:
        """Hash of a teacher's settings, without texts."""
        return teacher_hash(self.project.teachers[choose(wildcards.teacher, self.project.teachers, "teacher")])

    def config_hash(self, wildcards: Wildcards) -> str:
        """Hash of all settings that a run's numbers depend on, and of no others."""
        return config_hash(self.project.run(wildcards.experiment, wildcards.variant))

    def question(self, wildcards: Wildcards) -> str:
        """Question of an experiment, for captions."""
        return self.project.experiment(wildcards.experiment).question

    def published_as(self, wildcards: Wildcards) -> str:
        """Place of an experiment's published results, for captions."""
        return self.project.experiment(wildcards.experiment).published_as

    def stand_in(self, wildcards: Wildcards, input: Mapping[str, list[str]]) -> str:
        """Caption sentence for a figure of pretrained networks without weights; empty for all other figures.

        Raises FileNotFoundError before the jobs have run. Snakemake takes this error for "not known yet".
        """
        if self.project.experiment(wildcards.experiment).kind != "bn-bias":
            return ""
        lacking = {}
        for path in (path for path in map(Path, input["tables"]) if path.name == MANIFEST):
            path.stat()  # raises FileNotFoundError
            with contextlib.suppress(UserError):  # the job that reads a damaged manifest refuses it
                manifest = artefacts.Bundle(path.parent).manifest()
                (job,) = manifest.get("jobs", [manifest])
                if why := job.get("no_weights"):
                    lacking[manifest["settings"]["model"]] = why
        reasons = "; ".join(dict.fromkeys(lacking.values()))
        from luckmatters.kinds.bn_bias.settings import WEIGHTS_REMEDY

        remedy = WEIGHTS_REMEDY.replace("`", "``")  # as captions mark code
        sentence = f"Published numbers stand in for the weights of {', '.join(lacking)} ({reasons}). {remedy}."
        return sentence if lacking else ""

    def display_hash(self, wildcards: Wildcards) -> str:
        """Hash of what an experiment's outputs show besides numbers: variants, labels, options, texts."""
        variants = {name: labels for name, (_, labels) in self.project.available(wildcards.experiment).items()}
        shown = self.project.experiment(wildcards.experiment).model_dump_json(exclude={"claims", "scales", "grid"})
        shown += repr(self.project.reduced(wildcards.experiment))
        return artefacts.sha256(repr((variants, shown)).encode())
