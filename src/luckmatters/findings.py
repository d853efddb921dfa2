"""Results in README.md and docs/, written from what is kept in data/reference and data/kept."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd

from luckmatters import artefacts, comparison, markdown
from luckmatters.comparison import USUAL
from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.judging.published import UNITS
from luckmatters.judging.summaries import summarize
from luckmatters.ledger import EVIDENCE, Judgement, Verdict, counted, evidence, from_csv, head, judge_all, limits
from luckmatters.reports import complete
from luckmatters.settings.experiment import OF_WHAT_IS_KEPT

START = "<!-- results: from here on written by `luckmatters findings` -->"
END = "<!-- results: to here -->"


@dataclass(frozen=True)
class Kept:
    """Kept results of a scale.

    ledger: the judged claims.
    run: seconds, cores, processor and number of experiments of the last whole run; empty if nothing is kept.
    summaries: tables of the experiments that have published curves.
    """

    project: Project
    ledger: list[Judgement]
    run: dict
    summaries: dict[str, pd.DataFrame]


def read(project: Project) -> Kept:
    """Results of the project's scale: judged anew where results are kept seed by seed, else the ledger that is kept.

    If nothing is kept, all claims are "not run". Raises UserError if a file is missing or altered.
    """
    root, scale = project.root, project.scale_name
    reference = root / artefacts.reference_folder(scale)
    run = _run(project) if (reference / "run.json").exists() else {}
    if project.keeping == "only" or artefacts.kept_folder(root, scale).exists():
        only = Project(root, scale=scale, kept="only")
        results = complete(only, dict.fromkeys([*only.claimed_experiments, *only.compared_experiments]))
        tables = {name: summarize(results[name]) for name in only.compared_experiments}
        return Kept(only, judge_all(only, results), run, tables)
    if not run:
        return Kept(project, judge_all(project, {}), {}, {})
    ledger = from_csv(project, bundle(project, "claims").read("claims.csv"))
    tables = {
        name: pd.read_csv(io.BytesIO(bundle(project, name).read(f"{name}.csv")))
        for name in project.compared_experiments
    }
    return Kept(project, ledger, run, tables)


def _run(project: Project) -> dict:
    """Seconds, cores, processor and number of experiments of the last whole run."""
    return bundle(project, "run").manifest("seconds", "cores", "processor", "experiments")


def bundle(project: Project, name: str) -> artefacts.Bundle:
    """Bundle of an experiment's kept table (or ``claims``, or ``run``) at the project's scale."""
    return _bundle(project.root / artefacts.reference_folder(project.scale_name) / f"{name}.json", project.scale_name)


def _bundle(path: Path, scale: str) -> artefacts.Bundle:
    """Bundle with a manifest in data/reference, at a path."""
    recipe = f"after a whole run of committed code, make reference SCALE={scale}"
    return artefacts.Bundle(path.parent, path.name, recipe, kept=True)


def of_published_settings(project: Project) -> Kept:
    """Kept results of the scale that shows nothing else. Raises UserError if there is no such scale, or several."""
    names = [name for name, scale in project.scales.items() if scale.kept_default == "only"]
    if len(names) != 1:
        raise UserError(
            f"config/scales: kept_default is `only` in {', '.join(names) or 'no scale'}; one scale is needed"
        )
    return read(Project(project.root, scale=names[0]))


def write(project: Project) -> list[Path]:
    """Write the kept results to README.md, docs/results.md and docs/findings*.md; returns the paths."""
    texts = documents(read(project), of_published_settings(project))
    texts = {project.root / name: text for name, text in texts.items()}
    for path, text in texts.items():
        artefacts.write(path, text.encode())
    return list(texts)


def documents(kept: Kept, published: Kept) -> dict[str, str]:
    """Texts of README.md, docs/results.md, docs/findings.md and docs/findings-<scale>.md, by name.

    published: results at the published settings. Raises UserError if a document has no marks for its part.
    """
    root = kept.project.root
    return {
        "README.md": _marked(root / "README.md", counts(kept, published)),
        "docs/results.md": _marked(root / "docs" / "results.md", block(kept, published)),
        "docs/findings.md": page(kept),
        f"docs/findings-{published.project.scale_name}.md": page(published, beside=kept),
    }


def _marked(path: Path, part: str) -> str:
    """Text of a document with another part between the marks. Raises UserError if the document has no marks."""
    before, start, rest = path.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise UserError(f"{path}: has no place for results any more; put back the two lines {START} and {END}")
    return before + START + "\n" + part + END + after


def counts(kept: Kept, published: Kept) -> str:
    """Text for README.md: how many claims have which verdict, at both scales."""

    def named(one: Kept, verdict: str) -> str:
        names = [f"`{j.name}`" for j in one.ledger if j.verdict == verdict]
        return f"{len(names)}{': ' * bool(names)}{', '.join(names)}" if verdict != "not run" else str(len(names))

    columns = ["verdict", *(f"claims at `{one.project.scale_name}`" for one in (kept, published))]
    rows = [[f"**{verdict}**", named(kept, verdict), named(published, verdict)] for verdict in get_args(Verdict)]
    table = markdown.table(columns, [row for row in rows if row[1:] != ["0", "0"]])
    return f"\n{table}\n\n"


def block(kept: Kept, published: Kept) -> str:
    """Text for docs/results.md: the balance, the time of the whole run, and a table of claims with core checks."""
    balance = head(kept.project, kept.ledger)[-1] if any(j.effects for j in kept.ledger) else ""
    verdicts = {j.name: j.verdict for j in published.ledger}
    rows = [
        [f"`{j.name}`", j.claim.statement, f"**{j.verdict}**", verdicts[j.name], "<br>".join(_core(j)) or "not judged"]
        for j in kept.ledger
    ]
    scales = [f"`{one.project.scale_name}`" for one in (kept, published)]
    columns = ["claim", "in short", *(f"verdict at {scale}" for scale in scales)]
    columns += [f"core checks at {scales[0]}: estimate (95 % interval), threshold, seeds"]
    return "\n\n".join(["", *filter(None, [balance]), _time(kept), markdown.table(columns, rows), ""])


def page(kept: Kept, beside: Kept | None = None) -> str:
    """Text of a page of findings: all checks of all claims, our curves beside published curves, trained teachers.

    beside: results of another scale, whose verdicts stand beside.
    """
    lines = [
        f"# Results at the scale `{kept.project.scale_name}`",
        "",
        "Written by `luckmatters findings` from the tables in data/reference and data/kept; not to be edited.",
        "",
        *head(kept.project, kept.ledger),
        "",
        _time(kept),
        *(_beside(kept, beside) if beside else []),
    ]
    for judgement in kept.ledger:
        lines += evidence(judgement, _sources(kept, judgement))
    lines += ["", *_published(kept)]
    return "\n".join(lines if beside else [*lines, "", *_rates(kept.project), *_teachers(kept.project)]) + "\n"


def _sources(kept: Kept, judgement: Judgement) -> list[str]:
    """Lines on where a claim's evidence comes from: experiments, what the scale reduces, tables, and code."""
    lines = ["Experiments:", ""]
    for name in judgement.claim.experiments:
        table = artefacts.reference_file(kept.project.scale_name, name).as_posix()
        seeds = artefacts.kept_folder(Path(), kept.project.scale_name, name)
        links = f", [summary](../{table})" * (kept.project.root / table).exists()
        links += f", [seed by seed](../{seeds.as_posix()})" * (kept.project.root / seeds).exists()
        lines.append(f"- [{name}](../config/experiments/{name}.yaml){links}")
        reduced = kept.project.reduced(name).items()
        lines += [
            f"  - kept: {text}" if of == OF_WHAT_IS_KEPT else f"  - reduced{f' in {of}' * (of != name)}: {text}"
            for of, text in reduced
        ]
    names = dict.fromkeys(one.measure.__module__ for one in EVIDENCE[judgement.name].values())
    modules = [(name.removeprefix("luckmatters."), f"../src/{name.replace('.', '/')}.py") for name in names]
    return [*lines, "", f"Code: {', '.join(f'[{name}]({path})' for name, path in modules)}"]


def _published(kept: Kept) -> list[str]:
    """Lines of the section on published curves."""
    lines = [
        "## Beside the published curves",
        "",
        "Every published curve beside ours, at the epochs that both have; coverage is their share of the published "
        f"epochs. Within: share of points whose departure, ours less published, is at most {UNITS} standard errors. "
        "Greatest: the greatest departure, and its epoch. The standard error is made of the spread over seeds and "
        "teachers and of reading. Teachers: `own` (each seed has its own), `measured` (their spread is kept), or "
        "`unknown` (the error is too small, and departures are too large). Under "
        f"{USUAL:.0%} within, a curve departs; [config/published.yaml](../config/published.yaml) says why. By chance "
        "alone, 82 % are within with three seeds.",
        "",
    ]
    table = comparison.compare(kept.project, kept.summaries)
    if table.empty:
        return [*lines, "No kept table has a published curve."]
    curves = comparison.summarize(kept.project, table)
    columns = ["published", "our run", "quantity", "start", "layer", "points", "coverage", "within", "greatest", "at"]
    rows = [
        [
            f"`{row.file.removesuffix('.csv')}`", f"`{row.experiment}/{row.variant}`", row.quantity,
            *(str(value) if pd.notna(value) else "–" for value in (getattr(row, "start", None), row.layer)),
            str(row.points), f"{row.coverage:.0%}", "–" if pd.isna(row.within) else f"{row.within:.0%}",
            f"{row.greatest:+.1f}".replace("-", "−"), number(row.at), row.teachers, row.cause,
        ]
        for row in curves.itertuples()
    ]  # fmt: skip
    notes = {name: kept.project.experiment(name).figure.published_note for name in kept.summaries}
    return [
        *lines,
        markdown.table([*columns, "teachers", "cause of the departure"], rows),
        "",
        *(f"- `{name}`: {note}" for name, note in notes.items()),
    ]


def _teachers(project: Project) -> list[str]:
    """Lines of the section on kept trained teachers, of all scales."""
    rows = []
    for path in sorted((project.root / "data" / "reference").glob("*/teachers/*.json")):
        origin = _bundle(path, path.parts[-3]).manifest("test_accuracy", "published_accuracy", "data")
        accuracies = sum(origin["test_accuracy"]) / len(origin["test_accuracy"]), origin["published_accuracy"]
        rows.append([f"`{path.stem}`", path.parts[-3], *(f"{accuracy:.2%}" for accuracy in accuracies), origin["data"]])
    columns = ["teacher", "scale", "test accuracy", "published", "images"]
    return ["## Teachers trained on labels", "", markdown.table(columns, rows)]


def kept_rates(project: Project) -> pd.DataFrame:
    """Kept summary of `learning-rate` at the paper scale, with columns `rate` and `multiplier` from the settings."""
    path = project.root / artefacts.reference_file("paper", "learning-rate")
    table, origin = pd.read_csv(path), _bundle(path.with_suffix(".json"), "paper").manifest("variants")
    settings = {variant: entry["settings"] for variant, entry in origin["variants"].items()}
    rates = {variant: keys["training"]["learning_rate"][0]["rate"] for variant, keys in settings.items()}
    multipliers = {variant: keys["student"]["multiplier"] for variant, keys in settings.items()}
    return table.assign(rate=table["variant"].map(rates), multiplier=table["variant"].map(multipliers))


def rate_departures(table: pd.DataFrame) -> pd.DataFrame:
    """Departure of each learning rate from the published over-parameterization curves, by the rule of `learning-rate`.

    table: see ``kept_rates``. A row for each multiplier and rate. Columns: for each layer the root mean square of the
    departures over epochs 1 to 20, in standard errors; `sum` of squared departures over all layers; `seeds`.
    """
    later = table.query("quantity == 'correlation_192' and 1 <= epoch <= 20").dropna(subset="departure")
    later = later.assign(square=later["departure"] ** 2)
    keys = ["multiplier", "rate"]
    layers = later.pivot_table(index=keys, columns="layer", values="square", aggfunc="mean") ** 0.5
    return layers.assign(sum=later.groupby(keys)["square"].sum(), seeds=later.groupby(keys)["seeds"].min())


def inferred_rate(table: pd.DataFrame) -> float:
    """Learning rate with the smallest sum of squared departures over both multipliers; table: see ``kept_rates``."""
    return float(rate_departures(table)["sum"].groupby("rate").sum().idxmin())


def _rates(project: Project) -> list[str]:
    """Lines of the section on the inferred learning rate."""
    table = kept_rates(project)
    kept, squares = artefacts.reference_file("paper", "learning-rate").as_posix(), rate_departures(table)
    rows = [[str(m), f"{rate:g}", *map(number, row)] for (m, rate), row in squares.iterrows()]
    return [
        "## The learning rate of the over-parameterization figure",
        "",
        f"Experiment `learning-rate` at the scale `paper`, from [data/reference](../{kept}); not of the run above. "
        "Single seeds at m = 1 end far below the others: fewer seeds may have none, and then show too small a spread.",
        "",
        "The figure does not print it. The rule, written before: of 0.05, 0.07 and 0.1 the rate with the smallest sum "
        "of squared departures from the published curves of m = 1 and m = 10, over epochs 1 to 20, on 192 samples. "
        f"It gives {inferred_rate(table):g}. Below: root mean square of the departures by layer, in standard errors.",
        "",
        markdown.table(["m", "rate", "layer 0", "layer 1", "layer 2", "layer 3", "sum of squares", "seeds"], rows),
        "",
    ]


def _beside(kept: Kept, other: Kept) -> list[str]:
    """Lines of a table of verdicts and core checks at two scales."""
    rows = [
        [f"`{one.name}`", f"**{one.verdict}**", "<br>".join(_core(one)) or "not judged", another.verdict,
         "<br>".join(_core(another)) or "not judged"]
        for one, another in zip(kept.ledger, other.ledger, strict=True)
    ]  # fmt: skip
    here, there = (f"`{one.project.scale_name}`" for one in (kept, other))
    columns = [
        "claim",
        f"verdict at {here}",
        f"core checks at {here}",
        f"verdict at {there}",
        f"core checks at {there}",
    ]
    return ["", f"## Beside the scale {there}", "", markdown.table(columns, rows)]


def _time(kept: Kept) -> str:
    """Sentence on the time and the processor of the whole run, or on the lack of a run."""
    run, scale, said = kept.run, kept.project.scale_name, []
    if run:
        took = f"took {run['seconds'] / 60:.0f} minutes on {run['cores']} cores ({run['processor']})"
        said.append(f"The last whole run in one piece, of {run['experiments']} experiments, {took}.")
    if kept.project.keeping == "only":
        said.append(f"Only what is kept is judged: `luckmatters --scale {scale} kept` lists the rest and its cost.")
    if not said:
        said.append(
            f"No whole run of this scale is kept yet: `make figures` writes the ledger to `figures/{scale}/claims.md`."
        )
    return " ".join(said)


def _core(judgement: Judgement) -> list[str]:
    """Text of each judged core check of a claim."""
    lines = []
    for key in judgement.claim.core:
        if key in judgement.effects:
            effect, outcome = judgement.effects[key]
            text, threshold = limits(judgement, key, number), number(judgement.claim.checks[key].threshold)
            interval = number(effect.estimate) + f" ({text})" * bool(text)
            lines.append(f"`{key}` {outcome}: {interval}; above {threshold}, {counted(judgement, key)}")
    return lines


def number(value: float) -> str:
    """A number with four digits; a dash for NaN."""
    return "–" if pd.isna(value) else f"{value:.4g}".replace("-", "−")
