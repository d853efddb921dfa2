"""Checks that figures and claims refer only to names that exist."""

from typing import TYPE_CHECKING

from luckmatters.config.files import choose
from luckmatters.errors import UserError
from luckmatters.kinds import layouts
from luckmatters.settings.experiment import MOST_COMPARED, Run, config_hash
from luckmatters.tables.columns import NAMES

if TYPE_CHECKING:
    from luckmatters.config.project import Project


def check_figure(project: "Project", name: str) -> None:
    """Check the figure settings of an experiment. Raises UserError if the figure cannot be drawn as the file says."""
    experiment, where = project.experiments[name], f"config/experiments/{name}.yaml: figure"
    for axis in experiment.grid:
        if axis in NAMES:
            raise UserError(f"config/experiments/{name}.yaml: grid.{axis}: is a column of the tables; rename the axis")
    kind, layout = layouts()[choose(experiment.figure.layout, layouts(), f"{where}.layout")]
    if kind != experiment.kind:
        raise UserError(f"{where}.layout: {experiment.figure.layout} draws the kind {kind}, not {experiment.kind}")
    for option in layout.options:
        if getattr(experiment.figure, option) is None:
            raise UserError(f"{where}.{option}: missing; layout {experiment.figure.layout} needs it")
    variants = project.variants(name)
    if not variants:
        raise UserError(f"config/experiments/{name}.yaml (scale {project.scale_name}): no variant is left to run")
    if layout.single and len(variants) > 1:
        raise UserError(
            f"{where}.layout: {experiment.figure.layout} draws one variant, got {len(variants)}; drop the grid"
        )
    _check_different(project, name)
    axes = next(iter(variants.values()))[1]
    for key in ("rows", "columns", "compare"):
        if axis := getattr(experiment.figure, key):
            choose(axis, axes, f"{where}.{key}")
    if experiment.figure.compare:
        compared = {labels[experiment.figure.compare] for _, labels in variants.values()}
        if len(compared) > MOST_COMPARED:
            raise UserError(f"{where}.compare: at most {MOST_COMPARED} labels can share a panel, got {len(compared)}")
    for label in experiment.figure.labels:
        choose(label, {known for _, labels in variants.values() for known in labels.values()}, f"{where}.labels")
    for variant, file in experiment.figure.published.items():
        choose(variant, variants, f"{where}.published")
        choose(file, project.published, f"{where}.published.{variant}")


def _check_different(project: "Project", name: str) -> None:
    """Raises UserError if two variants of an experiment, own or included, have the same settings and seeds."""
    seen: dict[tuple, tuple[str, Run]] = {}
    for variant, (run, _) in project.variants(name).items():
        twin, other = seen.setdefault((config_hash(run), *run.seeds), (variant, run))
        if twin != variant:
            if run.experiment == other.experiment and run.variant != other.variant:  # the fault is where both run
                name, twin, variant = run.experiment, other.variant, run.variant
            raise UserError(
                f"config/experiments/{name}.yaml (scale {project.scale_name}): variants {twin} and {variant} have the "
                "same settings and seeds; change one or drop it"
            )


def check_claims(project: "Project") -> None:
    """Check names of claims, scales and experiments. Raises UserError for a name that does not exist."""
    for name, experiment in project.experiments.items():
        for claim in experiment.claims:
            where = f"config/experiments/{name}.yaml: claims"
            if claim not in project.claims and (renamed := _unlisted(project, name)):
                raise UserError(
                    f"config/claims.yaml: {renamed}: is listed by no experiment, and {where} has {claim} instead; "
                    "give both the same name"
                )
            choose(claim, project.claims, where)
    for name, claim in project.claims.items():
        for scale in claim.scales:
            choose(scale, project.scales, f"config/claims.yaml: {name}.scales")
        for experiment in claim.experiments:
            choose(experiment, project.experiments, f"config/claims.yaml: {name}.experiments")


def check_published(project: "Project") -> None:
    """Check names of files, experiments and quantities in config/published.yaml. Raises UserError for unknown names."""
    folder = project.root / "data" / "published"
    for name, source in project.published.items():
        where = f"config/published.yaml: {name}"
        choose(name, (path.name for path in sorted(folder.glob("*.csv"))), "config/published.yaml: file")
        runs = [source.spread] if source.spread else []
        for run in [*runs, *source.causes]:
            choose(run.split("/")[0], project.experiments, f"{where}: experiment")
        rows = (folder / name).read_text(encoding="utf-8").splitlines()[1:]
        for quantity in {quantity for causes in source.causes.values() for quantity in causes}:
            choose(quantity, sorted({row.split(",")[0] for row in rows}), f"{where}: causes")


def _unlisted(project: "Project", experiment: str) -> str | None:
    """The first claim that names an experiment and that no experiment lists; None if there is none."""
    listed = {claim for other in project.experiments.values() for claim in other.claims}
    names = (name for name, claim in project.claims.items() if experiment in claim.experiments and name not in listed)
    return next(names, None)
