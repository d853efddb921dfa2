"""What README.md and docs/findings.md say of results: written from kept tables (data/reference), never by hand."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from luckmatters import artefacts
from luckmatters.claims.statistics import CONFIDENCE
from luckmatters.config import Project
from luckmatters.config.schema import SUMMARY_KEYS
from luckmatters.errors import UserError

START = "<!-- results: from here on written by `luckmatters findings` -->"
END = "<!-- results: to here -->"


@dataclass(frozen=True)
class Kept:
    """What is kept of a scale's results.

    ledger: a row a check, as :func:`luckmatters.claims.ledger.to_csv` writes it; run: seconds, cores and processor of
    the whole run; summaries: the tables of experiments that have published curves.
    """

    project: Project
    ledger: pd.DataFrame
    run: dict
    summaries: dict[str, pd.DataFrame]

    def checks(self, claim: str) -> pd.DataFrame:
        """The rows of a claim's judged checks; none if the claim was not run."""
        return self.ledger[(self.ledger["claim"] == claim) & self.ledger["check"].notna()]

    def verdict(self, claim: str) -> str:
        """The verdict on a claim; "not run" if the ledger does not name the claim."""
        rows = self.ledger.loc[self.ledger["claim"] == claim, "verdict"]
        return rows.iloc[0] if len(rows) else "not run"


def read(project: Project) -> Kept:
    """What is kept of the project's scale. Raises UserError if something is missing or altered."""
    compared = [name for name, experiment in project.experiments.items() if experiment.figure.published]
    ledger, *summaries = (
        pd.read_csv(io.BytesIO(bundle(project, name).read(f"{name}.csv"))) for name in ("claims", *compared)
    )
    return Kept(project, ledger, bundle(project, "run").manifest(), dict(zip(compared, summaries, strict=True)))


def bundle(project: Project, name: str) -> artefacts.Bundle:
    """The kept table of an experiment (or ``claims``, or ``run``) at the project's scale."""
    scale = project.scale_name
    recipe = f"after a whole run of committed code, make reference SCALE={scale}"
    return artefacts.Bundle(project.root / artefacts.reference_folder(scale), f"{name}.json", recipe)


def write(project: Project) -> list[Path]:
    """Bring README.md and docs/findings.md up to what is kept of the project's scale; their paths."""
    texts = {project.root / name: text for name, text in documents(read(project)).items()}
    for path, text in texts.items():
        artefacts.write(path, text.encode())
    return list(texts)


def documents(kept: Kept) -> dict[str, str]:
    """The whole text of README.md and of docs/findings.md, by name. Raises UserError if README.md has no marks."""
    path = kept.project.root / "README.md"
    before, start, rest = path.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise UserError(f"{path}: has no place for results any more; put back the two lines {START} and {END}")
    return {"README.md": before + START + "\n" + block(kept) + END + after, "docs/findings.md": page(kept)}


def block(kept: Kept) -> str:
    """README's part: the balance, the time of the whole run, and a table of claims with their core checks."""
    rows = []
    for name, claim in kept.project.claims.items():
        core = kept.checks(name).query("role == 'core'")
        said = [f"`{row.check}` {row.outcome}: {_effect(row)}; {_asked(row)}" for row in core.itertuples()]
        rows.append(
            [f"`{name}`", _escaped(claim.statement), f"**{kept.verdict(name)}**", "<br>".join(said) or "none judged"]
        )
    head = ["claim", "in short", "verdict", "core checks: estimate (95 % interval), threshold, seeds"]
    return "\n\n".join(["", _balance(kept), _time(kept.run), _table(head, rows), ""])[1:]


def page(kept: Kept) -> str:
    """docs/findings.md: every check of every claim, our curves beside the published ones, trained teachers."""
    parts = [
        f"# Results at the scale `{kept.project.scale_name}`",
        "Written by `luckmatters findings` from the tables in data/reference; not to be edited.",
        f"Scale: {kept.project.scale.purpose}. {_balance(kept)}",
        _time(kept.run),
    ]
    for name, claim in kept.project.claims.items():
        parts += [f"## `{name}`: {kept.verdict(name)}", f"{_escaped(claim.statement)} ({_escaped(claim.source)})"]
        parts += [f"Statistic: {_escaped(claim.statistic)}", f"Experiments: {', '.join(claim.experiments)}"]
        rows = [
            [
                f"`{row.check}`", _escaped(claim.checks[row.check].statement), row.role, row.outcome, _effect(row),
                _asked(row), _escaped(row.reason),
            ]
            for row in kept.checks(name).itertuples()
        ]  # fmt: skip
        head = ["check", "statement", "role", "outcome", "estimate (95 % interval)", "threshold, seeds", "reason"]
        parts += [_table(head, rows)] if rows else []
    parts += [*_published(kept), *_teachers(kept.project)]
    return "\n\n".join(parts) + "\n"


def beside_published(kept: Kept) -> pd.DataFrame:
    """Kept means less published levels, of every variant that has a published curve.

    Columns: experiment, variant, quantity, start (mean difference over layers before training), epochs (the last that
    both have), later (root of the mean squared difference after training began), errors (the same in standard errors of
    the difference; NaN where the number of published seeds is not known).
    """
    rows = []
    for name, ours in kept.summaries.items():
        for variant, file in kept.project.experiment(name).figure.published.items():
            levels = pd.read_csv(kept.project.root / "data" / "published" / file).dropna(subset="value")
            keys = [key for key in SUMMARY_KEYS if key in ours and key in levels]
            both = ours[ours["variant"] == variant].merge(levels[[*keys, "value"]], on=keys)
            both["difference"] = both["mean"] - both["value"]
            for quantity, found in both.groupby("quantity"):
                later, errors = found[found["epoch"] > 0], found.get("departure", pd.Series(dtype=float))
                rows.append({
                    "experiment": name, "variant": variant, "quantity": quantity,
                    "start": found.loc[found["epoch"] == 0, "difference"].mean(), "epochs": found["epoch"].max(),
                    "later": _root_mean_square(later["difference"]),
                    "errors": _root_mean_square(errors[later.index] if len(errors) else errors),
                })  # fmt: skip
    return pd.DataFrame(rows)


def _published(kept: Kept) -> list[str]:
    """The section on published curves."""
    table = beside_published(kept)
    rows = [[f"`{row[0]}`", *row[1:3], *map(_number, row[3:])] for row in table.itertuples(index=False)]
    head = ["experiment", "variant", "quantity", "before training", "last epoch", "after", "in standard errors"]
    notes = {name: kept.project.experiment(name).figure.published_note for name in kept.summaries}
    return [
        "## Beside the published curves",
        "Ours less the published level, at the epochs that both have. Before training: mean over layers. After: root "
        "mean square over layers and epochs; in standard errors where the number of published seeds is known.",
        _table(head, rows),
        "\n".join(f"- `{name}`: {_escaped(note)}" for name, note in notes.items()),
    ]


def _teachers(project: Project) -> list[str]:
    """The accuracies of the trained teachers that are kept, of any scale."""
    rows = []
    for path in sorted((project.root / "data" / "reference").glob("*/teachers/*.json")):
        origin = json.loads(path.read_text(encoding="utf-8"))
        accuracies = sum(origin["test_accuracy"]) / len(origin["test_accuracy"]), origin["published_accuracy"]
        rows.append([f"`{path.stem}`", path.parts[-3], *(f"{one:.2%}" for one in accuracies), origin["data"]])
    return ["## Teachers trained on labels", _table(["teacher", "scale", "test accuracy", "published", "images"], rows)]


def _balance(kept: Kept) -> str:
    """How the core checks came out."""
    outcomes = kept.ledger.loc[kept.ledger["role"] == "core", "outcome"]
    supporting, contradicting, undecided = (sum(outcomes == one) for one in ("supports", "contradicts", "undecided"))
    return (
        f"Of {len(outcomes)} core checks {supporting} support the article, {contradicting} contradict it and "
        f"{undecided} are undecided. If every effect lay exactly on its threshold, "
        f"{len(outcomes) * (1 - CONFIDENCE) / 2:.2g} would support it by chance."
    )


def _time(run: dict) -> str:
    """How long the whole run took, and on what."""
    if not run["seconds"]:
        return "The whole run was not timed."
    where = f"{run['cores']} cores ({run['processor']})"
    return f"The whole run, in one piece, took {run['seconds'] / 60:.0f} minutes on {where}."


def _effect(row) -> str:
    return f"{_number(row.estimate)} ({_number(row.low)} to {_number(row.high)})"


def _asked(row) -> str:
    return f"above {_number(row.threshold)}, {_number(row.seeds)} seeds"


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.4g}".replace("-", "−")


def _root_mean_square(values: pd.Series) -> float:
    return float((values**2).mean() ** 0.5)


def _escaped(text: str) -> str:
    """With the signs that Markdown would take for its own."""
    return text.replace("*", r"\*").replace("|", r"\|")


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
