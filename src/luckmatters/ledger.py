"""Verdicts on claims from measured effects, and the ledger of all verdicts."""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import pandas as pd

from luckmatters import kinds
from luckmatters.config import Project
from luckmatters.config.files import choose
from luckmatters.errors import UserError
from luckmatters.judging.evidence import Evidence
from luckmatters.judging.statistics import CONFIDENCE, Effect, LacksDataError
from luckmatters.settings.claims import Check, Claim, Role, Verdict
from luckmatters.tables.results import Results

EVIDENCE = kinds.evidence()
SUPPORTS, CONTRADICTS, UNDECIDED = "supports", "contradicts", "undecided"
IN_WORDS = {SUPPORTS: "supports the paper", CONTRADICTS: "contradicts the paper", UNDECIDED: "undecided"}
ROLES = get_args(Role)  # core checks first
RULES = (
    "A check supports the paper if the whole 95 % interval of its effect lies above the threshold, contradicts it "
    "if none of the interval does, and is undecided otherwise. A verdict goes by the core checks alone, those that "
    "the claim's sentence stands or falls with: supported if all support it, contradicted if none does and at least "
    "one contradicts it, mixed if there are both, else undecided. A diverged seed counts as the worst outcome for "
    "the side that diverged. A check on every layer, variant or epoch shows the worst of them. An agreement with "
    "published numbers is a number without an interval, since its standard error is part of it. Bounds hold every "
    "value that published numbers allow."
)
BY_CHANCE = (1 - CONFIDENCE) / 2  # probability that a check supports the paper if the effect equals the threshold


@dataclass(frozen=True)
class Judgement:
    """Verdict of a claim, with effect and outcome of each check, core checks first; note: what is missing."""

    name: str
    claim: Claim
    verdict: Verdict
    effects: dict[str, tuple[Effect, str]]
    note: str = ""

    @property
    def outcomes(self) -> dict[str, str]:
        """The outcome of each check."""
        return {key: outcome for key, (_, outcome) in self.effects.items()}

    @property
    def core(self) -> list[str]:
        """The outcomes of the core checks. A check without results is undecided."""
        return [self.outcomes.get(key, UNDECIDED) for key in self.claim.core]


def outcome(effect: Effect, check: Check, min_seeds: int) -> str:
    """Outcome of a check: supports if the whole interval is above the threshold, contradicts if none of it is.

    Otherwise undecided, as with fewer seeds than min_seeds.
    """
    if effect.seeds < min_seeds:
        return UNDECIDED
    if effect.low > check.threshold:
        return SUPPORTS
    return CONTRADICTS if effect.high <= check.threshold else UNDECIDED


def verdict(core: Iterable[str]) -> Verdict:
    """Verdict of a claim from the outcomes of the core checks. A missing check is undecided."""
    outcomes = set(core)
    if outcomes == {SUPPORTS}:
        return "supported"
    if CONTRADICTS in outcomes:
        return "mixed" if SUPPORTS in outcomes else "contradicted"
    return "undecided"


def judge(name: str, claim: Claim, results: dict[str, Results], scale: str) -> Judgement:
    """Judgement of a claim: the verdict by core checks, and the effect of every check.

    results: available results, by experiment. A check that lacks results, a variant or an epoch is left out, with a
    note. A claim is "not run" if no core check is left. A claim is "not judged" if the scale does not judge it, or if
    every effect has fewer seeds than the claim asks for. A single check with too few seeds is undecided.
    """
    effects, notes = {}, []
    for key, evidence in EVIDENCE[name].items():
        if evidence.experiment not in results:
            notes.append(f"{evidence.experiment} has no results")
            continue
        try:
            effects[key] = evidence(results[evidence.experiment])
        except LacksDataError as error:
            notes.append(f"{key} is missing: {error}")
    notes = list(dict.fromkeys(notes))
    notes += [f"{key}: {effect.note}" for key, effect in effects.items() if effect.note]
    notes += [f"{key}: {e.diverged} of {e.seeds} seeds diverged" for key, e in effects.items() if e.diverged]
    thin = {key: effect.seeds for key, effect in effects.items() if effect.seeds < claim.min_seeds}
    if thin:
        counts = ", ".join(f"{key} has {seeds}" for key, seeds in thin.items())
        notes.append(f"{claim.min_seeds} seeds are needed to decide a check, {counts}")
    order = sorted((key for key in claim.checks if key in effects), key=lambda key: ROLES.index(claim.checks[key].role))
    judged = {key: (effects[key], outcome(effects[key], claim.checks[key], claim.min_seeds)) for key in order}
    judgement = Judgement(name, claim, "not run", judged, "; ".join(notes))
    if not effects.keys() & set(claim.core):
        return judgement
    unjudged = scale not in claim.scales or len(thin) == len(effects)
    return replace(judgement, verdict="not judged at this scale" if unjudged else verdict(judgement.core))


def judge_all(project: Project, results: dict[str, Results]) -> list[Judgement]:
    """Judgement of every claim of config/claims.yaml, in order. Raises UserError, see :func:`check_evidence`."""
    check_evidence(project)
    return [judge(name, claim, results, project.scale_name) for name, claim in project.claims.items()]


def check_evidence(project: Project) -> None:
    """Check config/claims.yaml against the evidence, and experiments for the variants that checks need.

    Variants are required only for claims that the scale in force judges. Raises UserError.
    """
    for name, claim in project.claims.items():
        where = f"config/claims.yaml: {name}"
        checks = EVIDENCE[choose(name, EVIDENCE, "config/claims.yaml: claim")]
        experiments = {evidence.experiment for evidence in checks.values()}
        if set(claim.experiments) != experiments:
            raise UserError(f"{where}.experiments: must be {', '.join(sorted(experiments))}")
        if set(claim.checks) != set(checks):
            raise UserError(f"{where}.checks: has {', '.join(claim.checks)}; must be {', '.join(checks)}")
        for evidence in checks.values() if project.scale_name in claim.scales else ():
            _check_variants(project, evidence)


def _check_variants(project: Project, evidence: Evidence) -> None:
    runs = [run for run, _ in project.variants(evidence.experiment).values()]
    for wanted in evidence.variants:
        try:
            count = len([run for run in runs if wanted(run)])
        except AttributeError:
            raise UserError(
                f"config/experiments/{evidence.experiment}.yaml: has a variant of another kind, which has no such "
                f"settings: {wanted.text}; drop the include"
            ) from None
        if not count or (wanted.single and count > 1):
            raise UserError(
                f"config/experiments/{evidence.experiment}.yaml (scale {project.scale_name}): has {count or 'no'} "
                f"variants ({wanted.text}), and config/claims.yaml: {evidence.claim}.checks.{evidence.check} needs "
                f"{'one' if wanted.single else 'some'}; change the grid, or the check in {evidence.measure.__module__}"
            )


def to_frame(judgements: list[Judgement]) -> pd.DataFrame:
    """Table with a row for each check, and a row for each claim that was not run.

    Columns: claim, verdict, check, role, outcome, estimate, low, high, seeds, threshold, reason, diverged, note (of the
    claim, repeated in all rows of the claim).
    """
    rows = [
        {
            "claim": judgement.name, "verdict": judgement.verdict, "check": key,
            "role": judgement.claim.checks[key].role, "outcome": result,
            "estimate": effect.estimate, "low": effect.low, "high": effect.high, "seeds": effect.seeds,
            "threshold": judgement.claim.checks[key].threshold, "reason": judgement.claim.checks[key].reason,
            "diverged": effect.diverged, "note": judgement.note,
        }
        for judgement in judgements
        for key, (effect, result) in judgement.effects.items()
    ] + [{"claim": j.name, "verdict": j.verdict, "note": j.note} for j in judgements if not j.effects]  # fmt: skip
    return pd.DataFrame(rows)


def to_csv(judgements: list[Judgement]) -> bytes:
    """The ledger as CSV."""
    buffer = io.StringIO()
    to_frame(judgements).to_csv(buffer, index=False, float_format="%.6g", lineterminator="\n")
    return buffer.getvalue().encode()


def from_csv(project: Project, content: bytes) -> list[Judgement]:
    """Judgement of every claim of config/claims.yaml, read from a CSV by :func:`to_csv`.

    Raises UserError if the CSV has a check that config/claims.yaml lacks, or with another role or threshold.
    """
    table, judgements = pd.read_csv(io.BytesIO(content), dtype={"note": str}).fillna({"note": ""}), []
    for name, claim in project.claims.items():
        rows = table[table["claim"] == name]
        judged, effects = rows.dropna(subset="check"), {}
        for row in judged.itertuples():
            if row.check not in claim.checks:
                raise UserError(f"config/claims.yaml: {name}.checks: has no {row.check}, which the ledger judges")
            check = claim.checks[row.check]
            if (row.role, f"{row.threshold:.6g}") != (check.role, f"{check.threshold:.6g}"):
                raise UserError(
                    f"config/claims.yaml: {name}.checks.{row.check}: was judged as {row.role} above {row.threshold:g}; "
                    "judge again"
                )
            effect = Effect(row.estimate, row.low, row.high, int(row.seeds), diverged=int(row.diverged))
            effects[row.check] = (effect, row.outcome)
        verdict, note = rows[["verdict", "note"]].iloc[0] if len(rows) else ("not run", "")
        judgements.append(Judgement(name, claim, verdict, effects, note))
    return judgements


def to_markdown(project: Project, judgements: list[Judgement]) -> str:
    """The ledger as Markdown: a summary, a table of verdicts, then every claim with evidence."""
    lines = [f"# Claims at scale {project.scale_name}", "", *head(project, judgements), ""]
    lines += ["| claim | verdict | core checks | statement |", "| --- | --- | --- | --- |"]
    for j in judgements:
        core = ", ".join(f"{key}: {j.outcomes.get(key, 'no results')}" for key in j.claim.core)
        lines.append(f"| {j.name} | **{j.verdict}** | {core} | {j.claim.statement} |")
    for j in judgements:
        lines += evidence(j)
    return "\n".join(lines) + "\n"


def head(project: Project, judgements: list[Judgement]) -> list[str]:
    """Lines on how to read the ledger and on how many core checks are decided."""
    core = [outcome for j in judgements for key, (_, outcome) in j.effects.items() if key in j.claim.core]
    words = {SUPPORTS: "support the paper", CONTRADICTS: "contradict it", UNDECIDED: "are undecided"}
    counts = ", ".join(f"{core.count(kind)} {text}" for kind, text in words.items())
    checks = [j.claim.checks[key] for j in judgements for key in j.claim.core]
    missing = f"{len(checks) - len(core)} have no results. " if len(core) < len(checks) else ""
    amended = [check.amended for check in checks if check.amended]
    eased = [changes for changes in amended if any(change.stricter is False for change in changes)]
    return [
        f"Scale: {project.scale.purpose}. {RULES}",
        "",
        f"Core checks: {len(checks)}, of which {counts}. {missing}If every effect were exactly its threshold, about "
        f"{BY_CHANCE * len(core):.1f} of them ({100 * BY_CHANCE:g} % each) would support the paper by chance, at "
        f"most. {len(amended)} were amended after results were seen, {len(eased)} by something that made them easier.",
    ]


def evidence(j: Judgement, experiments: Sequence[str] = ()) -> list[str]:
    """Lines on a claim: what was measured, and a row for each check.

    experiments: lines on the claim's experiments; none means their names.
    """
    lines = ["", f"## {j.name}: {j.verdict}", "", f"{j.claim.statement} ({j.claim.source})", ""]
    experiments = experiments or [f"Experiments: {', '.join(j.claim.experiments)}"]
    lines += [f"Statistic: {j.claim.statistic}", "", *experiments, ""]
    lines += [f"Note: {j.note}.", ""] if j.note else []
    if not j.effects:
        return lines[:-1]
    lines += ["| check | role | effect | 95 % interval | seeds | threshold | outcome |", "| --- " * 7 + "|"]
    for key, (effect, result) in j.effects.items():
        check = j.claim.checks[key]
        statement = check.statement + (f" (published: {check.published})" if check.published else "")
        statement = (statement + " (amended)" * bool(check.amended)).replace("|", r"\|")
        seeds = counted(j, key).removesuffix(" seeds") + f", {effect.diverged} diverged" * bool(effect.diverged)
        lines.append(
            f"| {key}: {statement} | {check.role} | {effect.estimate:.4g} | {limits(j, key) or 'none'} | "
            f"{seeds} | > {check.threshold:g} ({check.reason}) | {IN_WORDS[result]} |"
        )
    changed = {key: j.claim.checks[key].amended for key in j.effects if j.claim.checks[key].amended}
    if changed:
        lines += ["", "Amended after results were seen:", ""]
        lines += [f"- {key}: {amendment_text(change)}" for key, changes in changed.items() for change in changes]
    return lines


def limits(j: Judgement, key: str, number: Callable[[float], str] = "{:.4g}".format) -> str:
    """Text of the limits of a check's effect; empty for an effect without limits, as a count is."""
    (effect, _), kind = j.effects[key], EVIDENCE[j.name][key].limits
    if kind == "none" or (kind == "bounds" and effect.low == effect.high):
        return ""
    return f"{'bounds ' * (kind == 'bounds')}{number(effect.low)} to {number(effect.high)}"


def counted(j: Judgement, key: str) -> str:
    """Text of the number of seeds, or of what a check counts instead."""
    return f"{j.effects[key][0].seeds} {EVIDENCE[j.name][key].unit}"


def amendment_text(one) -> str:
    """Text of an amendment: what was changed, why, and whether the check became stricter."""
    words = {True: "stricter", False: "less strict", None: "neither stricter nor less strict"}
    return f"{one.what}, since {one.why} ({words[one.stricter]})"
