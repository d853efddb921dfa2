"""The command line: one verb under every rule, so that each step also runs without Snakemake."""

import argparse
import sys
from pathlib import Path

from luckmatters import __version__
from luckmatters.config import Project
from luckmatters.config.project import OVERRIDES, PUBLISHED_SETTINGS
from luckmatters.errors import UserError
from luckmatters.kinds import verb

# The verbs that run jobs of experiments, with their help texts.
STEPS = {
    "train": "train one variant of an experiment",
    "retrain": "prune finished runs and train them again",
    "measure": "measure finished runs",
    "simulate": "run dynamics that need no teacher's file",
    "observe": "measure teachers on samples",
    "extract": "tabulate the BatchNorm of a pretrained network",
}
AS_WRITTEN = " (nothing is reduced at this scale)"


def parser() -> argparse.ArgumentParser:
    """Parser of all verbs and options."""
    top = argparse.ArgumentParser(prog="luckmatters", description=__doc__)
    top.add_argument("--version", action="version", version=__version__)
    top.add_argument("--project", type=Path, default=Path(), help="folder that holds config/ and data/ (default: here)")
    for key in OVERRIDES:
        top.add_argument(f"--{key}", help=f"overrides `{key}` of config/config.yaml")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def add(name: str, about: str, *arguments: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=about, description=about)
        for argument in arguments:
            sub.add_argument(argument)
        return sub

    add("check", "read and check all configuration; print experiments, variants and seeds")
    add("prepare-cifar10", "read the images of CIFAR-10 from their source")
    add("generate-teacher", "draw the networks of a random teacher in config/teachers.yaml", "teacher")
    add("train-teacher", "train the networks of a teacher in config/teachers.yaml on labels", "teacher")
    for name, about in STEPS.items():
        sub = add(name, f"{about}, for some seeds", "experiment", "variant")
        sub.add_argument("--seeds", help="0-3, or 0+2+7 (default: all seeds of the variant at this scale)")
    add("summary", "write an experiment's summary table", "experiment")
    add("figure", "render an experiment's figure", "experiment")
    add("animation", "render an experiment's animation, where its layout has one", "experiment")
    sub = add("keep", "keep finished runs in data/kept, so that nobody needs to compute them again")
    sub.add_argument("names", nargs="+", metavar="experiment[/variant]")
    sub.add_argument("--seeds", help="0-15, or 0+2+7, in whole jobs (default: all seeds of each variant)")
    add("kept", "say what is kept, what the rest costs, and how to compute it")
    add("published", "compare all experiments with the published curves: tables and a picture")
    add("claims", "judge every claim; write the ledger and print it")
    add("report", "write the report: pages on all claims and experiments, for a browser")
    add("verify", "compare every result and figure with the checksum recorded when it was made")
    sub = add("audit", "recompute a random sample of kept results, and compare them with what is kept")
    sub.add_argument("--seed", type=int, help="of the random choice (default: another one each time)")
    sub.add_argument("--seconds", type=float, default=300, help="about how long the audit may take (default: 300)")
    sub = add("reference", "keep finished results in data/reference: these experiments' summary tables")
    sub.add_argument("experiments", nargs="*", help="names of experiments (default: all of them, and the ledger)")
    sub.add_argument("--seconds", type=float, help="how long the whole run took, in one piece, on this machine")
    add("findings", "write what README.md and docs/ say of results, from what is kept of the scale")
    add("configuration", "write docs/configuration.md and docs/experiments.md from the files in config/")
    add("reference-teacher", "write a trained teacher and the table of its training to data/reference", "teacher")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run a verb and return the exit status: 0, or 2 after a UserError, which is printed to standard error."""
    options = parser().parse_args(arguments)
    try:
        dispatch(options)
    except UserError as error:
        print(f"luckmatters: error: {error}", file=sys.stderr)
        return 2
    return 0


def dispatch(options: argparse.Namespace) -> None:
    """Load the configuration and call the verb's function. Slow imports stand in the branches that need them."""
    overrides = {key: getattr(options, key) for key in OVERRIDES}
    project = Project(options.project, **overrides)
    if options.verb == "check":
        from luckmatters.kinds import check_folders
        from luckmatters.ledger import check_evidence

        check_folders()
        check_evidence(project)
        for scale in sorted(set(project.scales) - {project.scale_name}):
            check_evidence(Project(options.project, **{**overrides, "scale": scale}))
        print(describe(project))
        counts = f"{len(project.experiments)} experiments, {len(project.claims)} claims, {len(project.scales)} scales"
        print(f"{counts}: no fault found")
    elif options.verb in ("keep", "kept"):
        from luckmatters import artefacts, keeping

        if options.verb == "kept":
            print(keeping.describe(project))
        else:
            wrote(*keeping.keep(project, options.names, options.seeds and artefacts.parse_seeds(options.seeds)))
    elif options.verb == "audit":
        from luckmatters import audit, costs

        print(
            audit.report(project, audit.kept_tables(project), costs.seconds, seed=options.seed, within=options.seconds)
        )
    elif options.verb == "configuration":
        from luckmatters import artefacts, configuration_page, experiments_page

        published = Project(options.project, **{**overrides, "scale": PUBLISHED_SETTINGS})
        pages = {
            "configuration": configuration_page.page(project.root),
            "experiments": experiments_page.page(published),
        }
        for name, text in pages.items():
            artefacts.write(project.root / "docs" / f"{name}.md", text.encode())
            wrote(project.root / "docs" / f"{name}.md")
    elif options.verb == "prepare-cifar10":
        from luckmatters.jobs import bundles, verbs

        verbs.prepare_cifar10(project)
        wrote(bundles.cifar10_bundle(project).folder)
    elif options.verb in ("generate-teacher", "train-teacher"):
        from luckmatters.jobs import bundles, verbs

        getattr(verbs, options.verb.replace("-", "_"))(project, options.teacher)
        wrote(bundles.teacher_bundle(project, options.teacher).folder)
    elif options.verb in STEPS:
        from luckmatters import artefacts
        from luckmatters.jobs import bundles, verbs

        run = project.run(options.experiment, options.variant)
        chunks = [artefacts.parse_seeds(options.seeds)] if options.seeds else project.chunks(run)
        for seeds in chunks:
            getattr(verbs, options.verb)(project, options.experiment, options.variant, seeds)
            wrote(bundles.run_bundle(project, run, seeds).folder)
    else:
        from luckmatters import reports

        if options.verb == "claims":
            print(reports.claims(project))
        elif options.verb == "published":
            wrote(*reports.published(project))
        elif options.verb == "reference-teacher":
            wrote(*reports.reference_teacher(project, options.teacher))
        elif options.verb == "reference":
            wrote(*reports.reference(project, options.experiments, options.seconds))
        elif options.verb == "findings":
            from luckmatters import findings

            wrote(*findings.write(project))
        elif options.verb == "report":
            from luckmatters.report import pages

            path, spent = pages.write(project)
            print(f"wrote {path} ({spent})")
        elif options.verb == "verify":
            print(f"{reports.verify(project)} files of scale {project.scale_name} are as they were made")
        else:
            wrote(*getattr(reports, options.verb)(project, options.experiment))


def wrote(*paths: Path) -> None:
    """Print the paths of a step's results."""
    print(f"wrote {', '.join(map(str, paths))}")


def describe(project) -> str:
    """Text with a line for every experiment (question, operations) and every variant (number of seeds)."""
    from luckmatters.costs import operations

    lines = [f"scale {project.scale_name}: {project.scale.purpose}"]
    for name, experiment in project.experiments.items():
        own = [run for run in project.own_runs(name).values() if verb(run) in ("train", "retrain")]
        published = AS_WRITTEN if own and project.scale_name not in experiment.scales else ""
        cost = f" [{sum(map(operations, own)) / 1e12:,.3g} TFLOP]" if own else ""
        lines.append(f"{name}: {experiment.question}{published}{cost}")
        for variant, (run, _) in project.variants(name).items():
            origin = "" if run.experiment == name else f" (from {run.experiment}/{run.variant})"
            lines.append(f"  {variant}: {len(run.seeds)} seeds{origin}")
    return "\n".join(lines)
