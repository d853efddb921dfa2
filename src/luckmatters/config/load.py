"""From the files under config/ to resolved runs."""

import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from luckmatters.config.files import choose, read_yaml, validate
from luckmatters.config.schema import (
    KINDS,
    LAYOUTS,
    MOST_COMPARED,
    NAME,
    SUMMARY_KEYS,
    TEACHER_TEXTS,
    Claim,
    CoActivation,
    Experiment,
    Measurement,
    Model,
    Run,
    Scale,
    Settings,
    Teacher,
    WithTeacher,
    check_images,
)
from luckmatters.errors import UserError

OVERRIDES = ("scale", "device", "results", "figures", "weights")  # keys that a command line may give
RESERVED = ("claims", "run", "datasets", "teachers", "logs")  # files and folders beside those of the experiments
COLUMNS = (*SUMMARY_KEYS, "seed", "node", "module", "value")


class Project:
    """A checkout's configuration at one scale.

    root: the folder that holds config/ and data/ (results and figures go below the current folder); overrides: keys of
    config/config.yaml given on the command line. Everything is read and checked at once: raises UserError at the
    first fault in any file.
    """

    def __init__(self, root: Path, **overrides: str | None) -> None:
        self.root = root
        config = root / "config"
        given = {key: value for key, value in overrides.items() if value is not None}
        for key in given:
            choose(key, OVERRIDES, "command line (--config or an option)")
        self.settings = validate(Settings, read_yaml(config / "config.yaml") | given, self._at("config.yaml"))
        self.scales = {
            path.stem: validate(Scale, read_yaml(path), self._at(f"scales/{path.name}"))
            for path in sorted((config / "scales").glob("*.yaml"))
        }
        self.scale_name = choose(self.settings.scale, self.scales, self._at("config.yaml: scale"))
        self.teachers = self._entries(Teacher, "teachers.yaml", scaled=True)
        self.claims = self._entries(Claim, "claims.yaml")
        self._raw = {path.stem: read_yaml(path) for path in sorted((config / "experiments").glob("*.yaml"))}
        for path in sorted((config / "experiments").glob("*.yml")):
            raise UserError(f"config/experiments/{path.name}: is not read; rename it to {path.stem}.yaml")
        for name in self._raw:
            if not re.fullmatch(NAME, name) or name in RESERVED:
                raise UserError(
                    f"config/experiments/{name}.yaml: the file's name is the experiment's: small letters, digits and "
                    f"hyphens, and none of {', '.join(RESERVED)}; rename the file"
                )
        self.experiments = {name: self._experiment(name) for name in self._raw}
        self._own_runs = {name: self._resolve(name) for name in self._raw}
        for name in self._raw:
            self._check_figure(name)
        self._check_claims()

    @property
    def scale(self) -> Scale:
        """The scale in force."""
        return self.scales[self.scale_name]

    @cached_property
    def results(self) -> Path:
        """Where intermediate artefacts of this scale lie, relative to the current folder."""
        return Path(self.settings.results) / self.scale_name

    @cached_property
    def figures(self) -> Path:
        """Where rendered figures of this scale lie, relative to the current folder."""
        return Path(self.settings.figures) / self.scale_name

    @property
    def weights(self) -> str:
        """What is known of pretrained networks: ``torchvision`` (their weights), ``published`` (numbers), or ``auto``.

        auto: the weights, or where they cannot be had the published numbers; a scale's default may be to use those.
        """
        chosen = self.settings.weights
        return "published" if chosen == "auto" and self.scale.weights_default == "published" else chosen

    def experiment(self, name: str) -> Experiment:
        """An experiment by name. Raises UserError if there is none."""
        return self.experiments[choose(name, self.experiments, "experiment")]

    def own_runs(self, experiment: str) -> dict[str, Run]:
        """The variants that this experiment computes itself, by name."""
        self.experiment(experiment)
        return self._own_runs[experiment]

    def variants(self, experiment: str) -> dict[str, tuple[Run, dict[str, str]]]:
        """All that this experiment draws and judges: own and included runs with their labels, by variant name."""
        found = {name: (run, run.labels) for name, run in self.own_runs(experiment).items()}
        for include in self.experiments[experiment].includes:
            source, variant = include.run.split("/")
            where = self._at(f"experiments/{experiment}.yaml: includes")
            choose(source, self._raw, where)
            run = self._own_runs[source][choose(variant, self._own_runs[source], where)]
            name = "-".join(include.labels.values())
            if name in found:
                raise UserError(f"{where}: {include.run}: variant {name} is there already; choose other labels")
            found[name] = (run, include.labels)
        return found

    def reduced(self, experiment: str) -> dict[str, str]:
        """What the scale in force changes in what an experiment draws, by the experiment or teacher that says so."""
        runs = [run for run, _ in self.variants(experiment).values()]
        sources = {name: None for run in runs for name in (run.experiment, run.trained.experiment)}
        said = {name: self.experiments[name].scales.get(self.scale_name, {}).get("reduced") for name in sources}
        said |= {f"teacher {run.trained.settings.teacher.name}": run.teacher.reduced for run in runs if run.teacher}
        return {name: text for name, text in said.items() if text}

    @property
    def claimed_experiments(self) -> list[str]:
        """The experiments that a claim names, sorted."""
        return sorted({name for claim in self.claims.values() for name in claim.experiments})

    def run(self, experiment: str, variant: str) -> Run:
        """One of an experiment's own variants. Raises UserError if there is none of that name."""
        runs = self.own_runs(experiment)
        return runs[choose(variant, runs, f"experiment {experiment}: variant")]

    def chunks(self, run: Run) -> list[list[int]]:
        """The seeds of a run, cut into jobs."""
        size = self.experiments[run.trained.experiment].seeds_per_job or self.scale.seeds_per_job
        return [run.seeds[start : start + size] for start in range(0, len(run.seeds), size)]

    def _at(self, file: str) -> str:
        return f"config/{file}"

    def _entries(self, model: type, file: str, *, scaled: bool = False) -> dict:
        entries = {}
        for name, entry in read_yaml(self.root / "config" / file).items():
            where = f"{self._at(file)}: {name}"
            if scaled and isinstance(entry, dict):
                said = (entry.get("scales") or {}).get(self.scale_name)
                entry = self._at_scale(entry, where)
                entry.pop("scales", None)
                if said:
                    entry["reduced"] = said["reduced"]
            entries[name] = validate(model, entry, where)
        return entries

    def _experiment(self, name: str) -> Experiment:
        where, content = self._at(f"experiments/{name}.yaml"), self._merged(name)
        kind = KINDS[choose(str(content.get("kind")), KINDS, f"{where}: kind")].settings
        for key in content:
            choose(str(key), [*Experiment.model_fields, *kind.model_fields], f"{where}: key")
        common = {key: value for key, value in content.items() if key in Experiment.model_fields}
        return validate(Experiment, common, where)

    def _merged(self, name: str) -> dict:
        """An experiment's file with the overrides of the scale in force."""
        return self._at_scale(self._raw[name], self._at(f"experiments/{name}.yaml"))

    def _at_scale(self, raw: dict, where: str) -> dict:
        """What a file says, with the overrides of the scale in force, which must say what they reduce."""
        scales = raw.get("scales") or {}
        if not isinstance(scales, dict):
            raise UserError(f"{where}: scales: must hold keys and values, got {scales!r}")
        for scale, block in scales.items():
            choose(scale, self.scales, f"{where}: scales")
            if not isinstance(block, dict) or not isinstance(block.get("reduced"), str):
                raise UserError(f"{where}: scales.{scale}.reduced: missing; say what this scale changes and why")
            self._check_grid(raw.get("grid") or {}, block.get("grid") or {}, f"{where}: scales.{scale}.grid")
        overrides = dict(scales.get(self.scale_name, {}))
        overrides.pop("reduced", None)
        return merge(raw, overrides)

    def _check_grid(self, grid: dict, changes: dict, where: str) -> None:
        """A scale may change, drop and add labels of the grid's axes, but not add an axis or drop what is not there."""
        for axis, labels in changes.items():
            known = grid[choose(str(axis), grid, where)]
            for label in (label for label, change in (labels or {}).items() if change is None):
                choose(str(label), known, f"{where}.{axis}")

    def _resolve(self, name: str) -> dict[str, Run]:
        experiment, where = self.experiments[name], self._at(f"experiments/{name}.yaml")
        base = {key: value for key, value in self._merged(name).items() if key not in Experiment.model_fields}
        names = ["-".join(labels) for labels in itertools.product(*experiment.grid.values())]
        for key in ("skip", "adjust"):
            for variant in getattr(experiment, key):
                choose(variant, names, f"{where}: {key}")
        runs = {}
        for labels in itertools.product(*experiment.grid.values()):
            content = base
            for axis, label in zip(experiment.grid.values(), labels, strict=True):
                content = merge(content, axis[label])
            variant = "-".join(labels) or "base"
            if variant in experiment.skip:
                continue
            content = merge(content, experiment.adjust.get(variant, {}))
            if variant in runs:
                raise UserError(f"{where}: grid: two variants would be named {variant}; rename a label")
            at = f"{where} (scale {self.scale_name}, {variant})"
            settings = validate(KINDS[experiment.kind].settings, content, at)
            runs[variant] = Run(
                experiment=name, variant=variant, scale=self.scale_name, kind=experiment.kind, settings=settings,
                labels=dict(zip(experiment.grid, labels, strict=True)), **self._behind(settings, at),
            )  # fmt: skip
        return runs

    def _behind(self, settings: Model, at: str) -> dict:
        """A run's teacher, its seeds, and the training run that it measures."""
        if isinstance(settings, Measurement):
            source, variant = settings.measures.split("/")
            kind = self._raw[choose(source, self._raw, f"{at}: measures")].get("kind")
            if kind != "student-training":
                raise UserError(f"{at}: measures: {source} is of kind {kind}, only student-training can be measured")
            runs = self._resolve(source)
            run = runs[choose(variant, runs, f"{at}: measures: {source}")]
            try:
                settings.check_source(run.settings, run.teacher)
            except ValueError as error:
                raise UserError(f"{at}: {error}") from None
            return {"teacher": run.teacher, "seeds": run.seeds, "source": run}
        seeds = settings.seeds if isinstance(settings.seeds, list) else list(range(settings.seeds))
        if not isinstance(settings, WithTeacher):
            return {"teacher": None, "seeds": seeds}
        teacher = self.teachers[choose(settings.teacher.name, self.teachers, f"{at}: teacher.name")]
        needed = max(seeds) if settings.teacher.seed == "own" else settings.teacher.seed
        if needed >= teacher.count:
            raise UserError(
                f"{at}: seeds: teacher seed {needed} is needed, but config/teachers.yaml: {settings.teacher.name}"
                f".count is {teacher.count}; raise it or use fewer seeds"
            )
        if isinstance(settings, CoActivation) and teacher.batch_norm and teacher.norm != "before":
            raise UserError(
                f"{at}: teacher.name: {settings.teacher.name}: BatchNorm after the ReLU hides which nodes fire; choose "
                "one without BatchNorm or with norm: before"
            )
        if settings.data.kind == "cifar10":
            try:
                check_images(teacher.shape, teacher.outputs)
            except ValueError as error:
                raise UserError(f"{at}: teacher.name: {settings.teacher.name}: {error}") from None
        return {"teacher": teacher, "seeds": seeds}

    def _check_figure(self, name: str) -> None:
        experiment, where = self.experiments[name], self._at(f"experiments/{name}.yaml: figure")
        for axis in experiment.grid:
            if axis in COLUMNS:
                raise UserError(
                    f"config/experiments/{name}.yaml: grid.{axis}: is a column of the tables; rename the axis"
                )
        layout = LAYOUTS[choose(experiment.figure.layout, LAYOUTS, f"{where}.layout")]
        if layout.kind != experiment.kind:
            raise UserError(
                f"{where}.layout: {experiment.figure.layout} draws the kind {layout.kind}, not {experiment.kind}"
            )
        for option in layout.options:
            if getattr(experiment.figure, option) is None:
                raise UserError(f"{where}.{option}: missing; layout {experiment.figure.layout} needs it")
        variants = self.variants(name)
        if not variants:
            raise UserError(f"config/experiments/{name}.yaml (scale {self.scale_name}): no variant is left to run")
        if layout.single and len(variants) > 1:
            raise UserError(
                f"{where}.layout: {experiment.figure.layout} draws one variant, got {len(variants)}; drop the grid"
            )
        axes = next(iter(variants.values()))[1]
        for axis in filter(None, (experiment.figure.rows, experiment.figure.columns, experiment.figure.compare)):
            choose(axis, axes, f"{where}: axis")
        if experiment.figure.compare:
            compared = {its[experiment.figure.compare] for _, its in variants.values()}
            if len(compared) > MOST_COMPARED:
                raise UserError(
                    f"{where}.compare: at most {MOST_COMPARED} labels can share a panel, got {len(compared)}"
                )
        for label in experiment.figure.labels:
            choose(label, {label for _, its in variants.values() for label in its.values()}, f"{where}.labels")
        for variant, file in experiment.figure.published.items():
            choose(variant, variants, f"{where}.published")
            files = (path.name for path in sorted((self.root / "data" / "published").glob("*.csv")))
            choose(file, files, f"{where}.published.{variant}")

    def _check_claims(self) -> None:
        for name, experiment in self.experiments.items():
            for claim in experiment.claims:
                choose(claim, self.claims, self._at(f"experiments/{name}.yaml: claims"))
        for name, claim in self.claims.items():
            for scale in claim.scales:
                choose(scale, self.scales, self._at(f"claims.yaml: {name}.scales"))
            for experiment in claim.experiments:
                choose(experiment, self.experiments, self._at(f"claims.yaml: {name}.experiments"))


def merge(base: Mapping, overrides: Mapping) -> dict:
    """Base with overrides laid over it, mapping by mapping; a null removes the key."""
    merged = dict(base)
    for key, value in overrides.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def config_hash(run: Run) -> str:
    """A digest of all settings that a run's numbers depend on; names, labels and the list of seeds are not among them.

    Keys without a value do not count, so that a new optional key leaves the results of old files valid.
    """
    content = run.model_dump(mode="json", exclude_none=True, include={"kind": True, "settings": True, "teacher": True})
    content["settings"].pop("seeds", None)
    if "teacher" in content:
        for key in {"count"} | TEACHER_TEXTS:
            content["teacher"].pop(key, None)
    if run.source:
        content["source"] = config_hash(run.source)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
