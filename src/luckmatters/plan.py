"""What is made from what: the files behind each rule of the workflow. Knows paths and settings, and no Snakemake."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from luckmatters import artefacts, cifar10
from luckmatters.artefacts import MANIFEST, TENSORS, seed_label
from luckmatters.config import Project
from luckmatters.config.files import choose
from luckmatters.dependencies import closure
from luckmatters.kinds import claims_names, figure_name, layouts, registry, run_name, verb
from luckmatters.kinds.bn_bias.settings import WEIGHTS_REMEDY
from luckmatters.settings.base import Verb
from luckmatters.settings.experiment import Run, config_hash
from luckmatters.settings.teachers import TEACHER_TEXTS


class Wildcards(Protocol):
    """The parts of a file's name, as a rule's functions receive them."""

    experiment: str
    variant: str
    seeds: str
    teacher: str


class Plan:
    """The workflow's files at the scale in force; what takes wildcards serves as a rule's function."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def everything(self) -> list[Path]:
        """What `snakemake` makes by default: each experiment's figure (and animation) and summary, and the ledger."""
        figures = [
            path
            for name in self.project.experiments
            for path in artefacts.figure_files(self.project.figures, name).values()
        ]
        tables = [artefacts.summary_files(self.project.figures, name)["csv"] for name in self.project.experiments]
        animations = [
            path for name in self.animated for path in artefacts.animation_files(self.project.figures, name).values()
        ]
        return [*figures, *animations, *tables, *artefacts.claims_files(self.project.figures).values()]

    @property
    def animated(self) -> list[str]:
        """The experiments whose layout makes an animation too."""
        return [name for name, one in self.project.experiments.items() if layouts()[one.figure.layout][1].animated]

    def cifar10_kind(self) -> str:
        """Changes when real images take the place of synthetic ones or the other way round, and with their number."""
        settings, scale = self.project.settings.cifar10, self.project.scale
        source, _ = cifar10.resolve(settings.source, settings.path, os.environ, scale.cifar10_default)
        return f"{'synthetic' if source == 'synthetic' else 'images'}, limit {scale.cifar10_limit}"

    def teachers(self, *, pretrained: bool) -> str:
        """The teachers that are trained, or those that are not, as a regular expression for a wildcard."""
        names = (name for name, one in self.project.teachers.items() if (one.init == "pretrained") == pretrained)
        return "|".join(names) or "none"

    def job(self, run: Run, seeds: str) -> dict[str, Path]:
        """The files of one job."""
        return artefacts.bundle_files(artefacts.run_folder(self.project.results, run.experiment, run.variant, seeds))

    def names(self, *steps: str) -> str:
        """The experiments of some steps (of all, if none is given), as a regular expression for a wildcard."""
        experiments = self.project.experiments.items()
        return "|".join(name for name, one in experiments if not steps or registry()[one.kind].verb in steps) or "none"

    def verb(self, wildcards: Wildcards) -> Verb:
        """The verb that runs a job."""
        return verb(self.project.run(wildcards.experiment, wildcards.variant))

    def job_inputs(self, wildcards: Wildcards) -> dict[str, list[Path]]:
        """What a job reads: the training job that it measures, its teacher, images, and the code of its kind."""
        run, results = self.project.run(wildcards.experiment, wildcards.variant), self.project.results
        behind = run.trained.settings
        labelled = run.teacher and behind.data.kind == "cifar10"
        return {
            "trained": list(self.job(run.source, wildcards.seeds).values()) if run.source else [],
            "teacher": [artefacts.teacher_folder(results, behind.teacher.name) / TENSORS] if run.teacher else [],
            "images": [artefacts.cifar10_folder(results) / TENSORS] if labelled else [],
            "code": closure(run_name(run.kind)),
        }

    def pretrained_inputs(self, wildcards: Wildcards) -> dict[str, list[Path]]:
        """What is read of a pretrained network besides its weights: published numbers, a table; the reader."""
        run, root = self.project.run(wildcards.experiment, wildcards.variant), self.project.root
        committed, _ = artefacts.pretrained_folders(root, run.settings.model)
        return {
            "published": artefacts.published_norms(root),
            "committed": sorted(committed.glob("*")),
            "reader": closure("pretrained"),
        }

    def tables(self, experiment: str, *, tensors: bool = False) -> list[Path]:
        """Every table that an experiment's variants, own and included, consist of, with its manifest (and tensors)."""
        return [
            path
            for run, _ in self.project.variants(experiment).values()
            for seeds in self.project.chunks(run)
            for name, path in self.job(run, seed_label(seeds)).items()
            if tensors or name != "tensors"
        ]

    def published(self, experiment: str) -> list[Path]:
        """The published numbers that an experiment is drawn or compared with."""
        files = self.project.experiment(experiment).figure.published.values()
        return [self.project.root / "data" / "published" / name for name in sorted(set(files))]

    def experiment_tables(self, wildcards: Wildcards) -> list[Path]:
        """What a summary is made from: the tables of the experiment in a file's name, and what was published."""
        return [*self.tables(wildcards.experiment), *self.published(wildcards.experiment)]

    def figure_inputs(self, wildcards: Wildcards) -> dict[str, list[Path]]:
        """What a figure is drawn from: tables, published curves, and the code of its layout."""
        options = self.project.experiment(wildcards.experiment).figure
        return {
            "tables": self.tables(wildcards.experiment, tensors=layouts()[options.layout][1].tensors),
            "published": self.published(wildcards.experiment),
            "code": sorted({*closure(figure_name(options.layout)), *closure("reading")}),
        }

    def claims_inputs(self) -> dict[str, list[Path]]:
        """What the ledger is judged from: the tables of every experiment that a claim names, and the claims' code."""
        names = self.project.claimed_experiments
        return {
            "tables": list(dict.fromkeys(path for name in names for path in self.tables(name))),
            "published": list(dict.fromkeys(path for name in names for path in self.published(name))),
            "claims": [self.project.root / "config" / "claims.yaml"],
            "code": sorted({path for name in ["ledger", "reading", *claims_names()] for path in closure(name)}),
        }

    def claims_hash(self) -> str:
        """Changes with what the ledger shows and selects by, besides tables and config/claims.yaml."""
        names = self.project.claimed_experiments
        labels = {name: {v: its for v, (_, its) in self.project.variants(name).items()} for name in names}
        return artefacts.sha256(repr((labels, self.project.scale.purpose)).encode())

    def teacher_hash(self, wildcards: Wildcards) -> str:
        """Changes with a teacher's settings."""
        name = choose(wildcards.teacher, self.project.teachers, "teacher")
        return artefacts.sha256(self.project.teachers[name].model_dump_json(exclude=set(TEACHER_TEXTS)).encode())

    def config_hash(self, wildcards: Wildcards) -> str:
        """Changes with any setting that a run's numbers depend on, and with nothing else."""
        return config_hash(self.project.run(wildcards.experiment, wildcards.variant))

    def question(self, wildcards: Wildcards) -> str:
        """What an experiment asks, for captions."""
        return self.project.experiment(wildcards.experiment).question

    def published_as(self, wildcards: Wildcards) -> str:
        """Where the authors show it, for captions."""
        return self.project.experiment(wildcards.experiment).published_as

    def stand_in(self, wildcards: Wildcards, input: Mapping[str, list[str]]) -> str:
        """For the caption of a figure of pretrained networks without their weights; nothing for all others.

        Raises FileNotFoundError, which Snakemake takes for "not known yet", before the jobs have run.
        """
        if self.project.experiment(wildcards.experiment).kind != "bn-bias":
            return ""
        lacking = {}
        for path in (path for path in map(Path, input["tables"]) if path.name == MANIFEST):
            with contextlib.suppress(ValueError):  # a damaged one is refused by the job that reads it
                manifest = json.loads(path.read_bytes())
                if why := manifest.get("no_weights"):
                    lacking[manifest["settings"]["model"]] = why
        whys = "; ".join(dict.fromkeys(lacking.values()))
        remedy = WEIGHTS_REMEDY.replace("`", "``")  # as captions mark code
        said = f"Published numbers stand in for the weights of {', '.join(lacking)} ({whys}). {remedy}."
        return said if lacking else ""

    def display_hash(self, wildcards: Wildcards) -> str:
        """Changes with what an experiment's outputs show besides numbers: variants, labels, options, texts."""
        variants = {name: labels for name, (_, labels) in self.project.variants(wildcards.experiment).items()}
        shown = self.project.experiment(wildcards.experiment).model_dump_json(exclude={"claims", "scales", "grid"})
        shown += repr(self.project.reduced(wildcards.experiment))
        return artefacts.sha256(repr((variants, shown)).encode())
