"""The checked configuration of a checkout, with all resolved runs."""

import re
from functools import cached_property
from pathlib import Path

from luckmatters.config.checks import check_claims, check_figure, check_published
from luckmatters.config.files import choose, read_yaml, validate
from luckmatters.config.kept import Kept, find, read_superseded
from luckmatters.config.merging import at_scale
from luckmatters.config.runs import resolve
from luckmatters.errors import UserError
from luckmatters.kinds import registry
from luckmatters.provenance import code, require_package_of
from luckmatters.settings.base import NAME
from luckmatters.settings.claims import Claim
from luckmatters.settings.experiment import OF_WHAT_IS_KEPT, Experiment, Run
from luckmatters.settings.project import Scale, Settings
from luckmatters.settings.published import PublishedCurves
from luckmatters.settings.teachers import Teacher

OVERRIDES = ("scale", "device", "results", "figures", "kept", "weights")  # keys that a command line may give
PUBLISHED_SETTINGS = "paper"  # the scale that reduces nothing
# Names taken by other files and folders of results.
RESERVED = ("claims", "published", "published-summary", "report", "run", "benchmarks", "datasets", "teachers", "logs")


class Project:
    """Configuration of a checkout at one scale.

    root: the folder that holds config/ and data/ (results and figures go below the current folder);
    overrides: keys of config/config.yaml given on the command line.
    All files are read and checked at once. Raises UserError at the first fault in any file, or if the checkout has
    another package than the one in use.
    """

    def __init__(self, root: Path, **overrides: str | None) -> None:
        self.root = root
        require_package_of(root)
        code()  # noted at the start, since commits may be made while a job runs
        config = root / "config"
        given = {key: value for key, value in overrides.items() if value is not None}
        for key in given:
            choose(key, OVERRIDES, "command line (--config or an option)")
        self.settings = validate(Settings, read_yaml(config / "config.yaml") | given, "config/config.yaml")
        self.scales = {
            path.stem: validate(Scale, read_yaml(path), f"config/scales/{path.name}")
            for path in sorted((config / "scales").glob("*.yaml"))
        }
        self.scale_name = choose(self.settings.scale, self.scales, "config/config.yaml: scale")
        self.teachers = self._entries(Teacher, "teachers.yaml", scaled=True)
        self.claims = self._entries(Claim, "claims.yaml")
        self.published = self._entries(PublishedCurves, "published.yaml")
        self.superseded = read_superseded(root)
        self.raw = {path.stem: read_yaml(path) for path in sorted((config / "experiments").glob("*.yaml"))}
        for path in sorted((config / "experiments").glob("*.yml")):
            raise UserError(f"config/experiments/{path.name}: is not read; rename it to {path.stem}.yaml")
        for name in self.raw:
            if not re.fullmatch(NAME, name) or name in RESERVED:
                raise UserError(
                    f"config/experiments/{name}.yaml: the file's name is the experiment's: small letters, digits and "
                    f"hyphens, and none of {', '.join(RESERVED)}; rename the file"
                )
        self.experiments = {name: self._experiment(name) for name in self.raw}
        self._kept: dict[tuple[str, str], Kept | None] = {}
        self._own_runs = {name: resolve(self, name) for name in self.raw}
        for name in self.raw:
            check_figure(self, name)
        check_claims(self)
        check_published(self)

    @property
    def scale(self) -> Scale:
        """The scale in force."""
        return self.scales[self.scale_name]

    @cached_property
    def results(self) -> Path:
        """Folder of this scale's intermediate artefacts, relative to the current folder."""
        return Path(self.settings.results) / self.scale_name

    @cached_property
    def figures(self) -> Path:
        """Folder of this scale's rendered figures, relative to the current folder."""
        return Path(self.settings.figures) / self.scale_name

    @property
    def weights(self) -> str:
        """Source of numbers on pretrained networks: ``torchvision`` (weights), ``published`` (numbers), or ``auto``.

        auto: the weights, or the published numbers if the weights cannot be downloaded. A scale may turn ``auto`` into
        ``published``.
        """
        chosen = self.settings.weights
        return "published" if chosen == "auto" and self.scale.weights_default == "published" else chosen

    def experiment(self, name: str) -> Experiment:
        """An experiment by name. Raises UserError for an unknown name."""
        return self.experiments[choose(name, self.experiments, "experiment")]

    def own_runs(self, experiment: str) -> dict[str, Run]:
        """The variants that an experiment computes itself, by name."""
        self.experiment(experiment)
        return self._own_runs[experiment]

    def variants(self, experiment: str) -> dict[str, tuple[Run, dict[str, str]]]:
        """All runs that an experiment draws and judges, own and included, with their labels, by variant name."""
        variants = {name: (run, run.labels) for name, run in self.own_runs(experiment).items()}
        for include in self.experiments[experiment].includes:
            source, variant = include.run.split("/")
            where = f"config/experiments/{experiment}.yaml: includes"
            choose(source, self.raw, where)
            run = self._own_runs[source][choose(variant, self._own_runs[source], where)]
            name = "-".join(include.labels.values())
            if name in variants:
                raise UserError(f"{where}: {include.run}: variant {name} is there already; choose other labels")
            variants[name] = (run, include.labels)
        return variants

    @property
    def keeping(self) -> str:
        """What is done with kept results: ``only``, ``use`` or ``ignore``, as config/config.yaml or the scale says."""
        chosen = self.settings.kept
        return self.scale.kept_default if chosen == "auto" else chosen

    def kept(self, run: Run) -> Kept | None:
        """The kept results of a run, whether or not they are used; None if there are none that fit."""
        key = (run.experiment, run.variant)
        if key not in self._kept:
            self._kept[key] = find(self, run)
        return self._kept[key]

    @cached_property
    def kept_spreads(self) -> dict[str, Kept]:
        """Kept results, at the published settings, that measure how far teachers differ: by file of data/published.

        Curves whose run is not kept, or that name no run, are left out.
        """
        runs = {file: source.spread for file, source in self.published.items() if source.spread}
        if not runs:
            return {}
        published = self if self.scale_name == PUBLISHED_SETTINGS else Project(self.root, scale=PUBLISHED_SETTINGS)
        found = {file: published.kept(published.run(*run.split("/"))) for file, run in runs.items()}
        return {file: results for file, results in found.items() if results}

    def available(self, experiment: str) -> dict[str, tuple[Run, dict[str, str]]]:
        """The variants that figures and verdicts are made of: all of them, or what is kept, with the seeds kept."""
        variants = self.variants(experiment)
        if self.keeping != "only":
            return variants
        found = {name: self.kept(run) for name, (run, _) in variants.items()}
        return {
            name: (run.model_copy(update={"seeds": found[name].seeds}), labels)
            for name, (run, labels) in variants.items()
            if found[name]
        }

    def reduced(self, experiment: str) -> dict[str, str]:
        """Texts on what the scale reduces in an experiment's runs, by name of experiment or teacher."""
        available = self.available(experiment)
        runs = [run for run, _ in available.values()]
        sources = {name: None for run in runs for name in (run.experiment, run.trained.experiment)}
        texts = {name: self.experiments[name].scales.get(self.scale_name, {}).get("reduced") for name in sources}
        texts |= {f"teacher {run.trained.settings.teacher.name}": run.teacher.reduced for run in runs if run.teacher}
        texts |= {OF_WHAT_IS_KEPT: self._left_out(experiment, available)}
        return {name: text for name, text in texts.items() if text}

    def _left_out(self, experiment: str, available: dict) -> str:
        """Text on variants and seeds that are left out, since no results of them are kept."""
        variants = {name: len(run.seeds) for name, (run, _) in self.variants(experiment).items()}
        kept = {name: len(run.seeds) for name, (run, _) in available.items()}
        parts = [
            f"{name} has {count} of {variants[name]} seeds" for name, count in kept.items() if count < variants[name]
        ]
        parts += [f"without {name}" for name in variants if name not in kept]
        return "; ".join(parts) if kept else "nothing" * bool(parts)

    @property
    def claimed_experiments(self) -> list[str]:
        """The experiments that a claim names, sorted."""
        return sorted({name for claim in self.claims.values() for name in claim.experiments})

    @property
    def compared_experiments(self) -> list[str]:
        """The experiments with a variant that is available and has a published curve at the scale in force."""
        curves = {name: set(experiment.figure.published) for name, experiment in self.experiments.items()}
        return [name for name, variants in curves.items() if variants & set(self.available(name))]

    def run(self, experiment: str, variant: str) -> Run:
        """The run of an experiment's own variant. Raises UserError for an unknown name."""
        runs = self.own_runs(experiment)
        return runs[choose(variant, runs, f"experiment {experiment}: variant")]

    def chunks(self, run: Run) -> list[list[int]]:
        """The seeds of a run, cut into jobs."""
        size = self.experiments[run.trained.experiment].seeds_per_job or self.scale.seeds_per_job
        return [run.seeds[start : start + size] for start in range(0, len(run.seeds), size)]

    def _entries(self, model: type, file: str, *, scaled: bool = False) -> dict:
        entries = {}
        for name, entry in read_yaml(self.root / "config" / file).items():
            where = f"config/{file}: {name}"
            if scaled and isinstance(entry, dict):
                block = (entry.get("scales") or {}).get(self.scale_name)
                entry = at_scale(entry, self.scale_name, self.scales, where)
                entry.pop("scales", None)
                if block:
                    entry["reduced"] = block["reduced"]
            entries[name] = validate(model, entry, where)
        return entries

    def _experiment(self, name: str) -> Experiment:
        where, content = f"config/experiments/{name}.yaml", self.merged(name)
        kind = registry()[choose(str(content.get("kind")), registry(), f"{where}: kind")].settings
        for key in content:
            choose(str(key), [*Experiment.model_fields, *kind.model_fields], f"{where}: key")
        common = {key: value for key, value in content.items() if key in Experiment.model_fields}
        return validate(Experiment, common, where)

    def merged(self, name: str) -> dict:
        """An experiment's file with the overrides of the scale in force."""
        return at_scale(self.raw[name], self.scale_name, self.scales, f"config/experiments/{name}.yaml")
