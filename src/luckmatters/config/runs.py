"""Runs of an experiment's file: a variant for every combination of the grid's labels."""

import itertools
from typing import TYPE_CHECKING

from luckmatters.config.files import choose, validate
from luckmatters.config.merging import merge
from luckmatters.errors import UserError
from luckmatters.kinds import registry
from luckmatters.settings.base import Model
from luckmatters.settings.experiment import Experiment, Run
from luckmatters.settings.students import Measurement
from luckmatters.settings.teachers import WithTeacher

if TYPE_CHECKING:
    from luckmatters.config.project import Project


def resolve(project: "Project", name: str) -> dict[str, Run]:
    """The variants that an experiment computes itself, by name. Raises UserError if settings are wrong."""
    experiment, where = project.experiments[name], f"config/experiments/{name}.yaml"
    base = {key: value for key, value in project.merged(name).items() if key not in Experiment.model_fields}
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
        at = f"{where} (scale {project.scale_name}, {variant})"
        settings = validate(registry()[experiment.kind].settings, content, at)
        runs[variant] = Run(
            experiment=name, variant=variant, scale=project.scale_name, kind=experiment.kind, settings=settings,
            labels=dict(zip(experiment.grid, labels, strict=True)), **_behind(project, settings, at),
        )  # fmt: skip
    return runs


def _behind(project: "Project", settings: Model, at: str) -> dict:
    """A run's teacher, its seeds, and the training run that it measures."""
    if isinstance(settings, Measurement):
        source, variant = settings.source.split("/")
        source_kind = str(project.raw[choose(source, project.raw, f"{at}: source")].get("kind"))
        measurable = [name for name, kind in registry().items() if kind.measurable]
        if source_kind not in measurable:
            raise UserError(
                f"{at}: source: {source} is of kind {source_kind}, only {', '.join(measurable)} can be measured"
            )
        runs = resolve(project, source)
        run = runs[choose(variant, runs, f"{at}: source: {source}")]
        try:
            settings.check_source(run.settings, run.teacher)
        except ValueError as error:
            raise UserError(f"{at}: {error}") from None
        return {"teacher": run.teacher, "seeds": run.seeds, "source": run}
    seeds = settings.seeds if isinstance(settings.seeds, list) else list(range(settings.seeds))
    if not isinstance(settings, WithTeacher):
        return {"teacher": None, "seeds": seeds}
    teacher = project.teachers[choose(settings.teacher.name, project.teachers, f"{at}: teacher.name")]
    needed = max(seeds) if settings.teacher.seed == "own" else settings.teacher.seed
    if needed >= teacher.count:
        raise UserError(
            f"{at}: seeds: teacher seed {needed} is needed, but config/teachers.yaml: {settings.teacher.name}"
            f".count is {teacher.count}; raise it or use fewer seeds"
        )
    try:
        settings.check_teacher(teacher)
    except ValueError as error:
        raise UserError(f"{at}: teacher.name: {settings.teacher.name}: {error}") from None
    return {"teacher": teacher, "seeds": seeds}
