"""From effects to verdicts, and the ledger that lists them."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
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
BY_CHANCE = (1 - CONFIDENCE) / 2  # how often a check whose effect is its threshold supports the paper


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict with the effect and the outcome of each check, core ones first; note: what is missing."""

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
        """The outcomes of the core checks; a check without results is undecided."""
        return [self.outcomes.get(key, UNDECIDED) for key in self.claim.core]


def outcome(effect: Effect, check: Check, min_seeds: int) -> str:
    """Supports if the whole interval lies above the threshold, contradicts if none of it does, else undecided."""
    if effect.seeds < min_seeds:
        return UNDECIDED
    if effect.low > check.threshold:
        return SUPPORTS
    return CONTRADICTS if effect.high <= check.threshold else UNDECIDED


def verdict(core: Iterable[str]) -> Verdict:
    """Of a claim, from the outcomes of its core checks; a missing check is undecided."""
    found = set(core)
    if found == {SUPPORTS}:
        return "supported"
    if CONTRADICTS in found:
        return "mixed" if SUPPORTS in found else "contradicted"
    return "undecided"


def judge(name: str, claim: Claim, results: dict[str, Results], scale: str) -> Judgement:
    """The verdict by core checks, and every check's effect.

    results: those that there are. A check that lacks them, or a variant or an epoch, is left out, and said to be. A
    claim is not run if nothing is left, and not judged where the scale may not judge, or where every effect has fewer
    seeds than the claim asks for (a check with fewer is undecided).
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
    notes += [f"{key}: {one.diverged} of {one.seeds} seeds diverged" for key, one in effects.items() if one.diverged]
    thin = {key: effect.seeds for key, effect in effects.items() if effect.seeds < claim.min_seeds}
    if thin:
        said = ", ".join(f"{key} has {seeds}" for key, seeds in thin.items())
        notes.append(f"{claim.min_seeds} seeds are needed to decide a check, {said}")
    order = sorted((key for key in claim.checks if key in effects), key=lambda key: ROLES.index(claim.checks[key].role))
    judged = {key: (effects[key], outcome(effects[key], claim.checks[key], claim.min_seeds)) for key in order}
    found = Judgement(name, claim, "not run", judged, "; ".join(notes))
    if not effects:
        return found
    unjudged = scale not in claim.scales or len(thin) == len(effects)
    return Judgement(name, claim, "not judged at this scale" if unjudged else verdict(found.core), judged, found.note)


def judge_all(project: Project, results: dict[str, Results]) -> list[Judgement]:
    """Every claim of config/claims.yaml, in its order, by the results that there are; see :func:`check_evidence`."""
    check_evidence(project)
    return [judge(name, claim, results, project.scale_name) for name, claim in project.claims.items()]


def check_evidence(project: Project) -> None:
    """Raises UserError if config/claims.yaml and the evidence differ, or an experiment lacks variants that it needs.

    Variants are asked for only of claims that the scale in force judges.
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
        count = len([run for run in runs if wanted(run)])
        if not count or (wanted.single and count > 1):
            raise UserError(
                f"config/experiments/{evidence.experiment}.yaml (scale {project.scale_name}): has {count or 'no'} "
                f"variants ({wanted.text}), and config/claims.yaml: {evidence.claim}.checks.{evidence.check} needs "
                f"{'one' if wanted.single else 'some'}; change the grid, or the check in {evidence.measure.__module__}"
            )


def to_frame(judgements: list[Judgement]) -> pd.DataFrame:
    """A row a check, or a row of a claim that was not run.

    Columns: claim, verdict, check, role, outcome, estimate, low, high, seeds, threshold, reason, diverged, note (the
    claim's, the same in all of its rows).
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
    """What :func:`to_csv` wrote, of every claim of config/claims.yaml. Raises UserError for a check that it lacks."""
    table, found = pd.read_csv(io.BytesIO(content), dtype={"note": str}).fillna({"note": ""}), []
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
        found.append(Judgement(name, claim, verdict, effects, note))
    return found


def to_markdown(project: Project, judgements: list[Judgement]) -> str:
    """The ledger for a reader: what was decided, a table of verdicts, then every claim with its evidence."""
    lines = [f"# Claims at scale {project.scale_name}", "", *head(project, judgements), ""]
    lines += ["| claim | verdict | core checks | statement |", "| --- | --- | --- | --- |"]
    for j in judgements:
        core = ", ".join(f"{key}: {j.outcomes.get(key, 'no results')}" for key in j.claim.core)
        lines.append(f"| {j.name} | **{j.verdict}** | {core} | {j.claim.statement} |")
    for j in judgements:
        lines += evidence(j)
    return "\n".join(lines) + "\n"


def head(project: Project, judgements: list[Judgement]) -> list[str]:
    """How to read the ledger, and how many core checks it decides."""
    core = [outcome for j in judgements for outcome in j.core]
    words = {SUPPORTS: "support the paper", CONTRADICTS: "contradict it", UNDECIDED: "are undecided"}
    counts = ", ".join(f"{core.count(kind)} {said}" for kind, said in words.items())
    return [
        f"Scale: {project.scale.purpose}. A check supports the paper if the whole 95 % interval of its effect lies "
        "above the threshold, contradicts it if none of the interval does, and is undecided otherwise. A verdict goes "
        "by the core checks alone, those that the claim's sentence stands or falls with: supported if all support it, "
        "contradicted if none does and at least one contradicts it, mixed if there are both, else undecided. A "
        "diverged seed counts as the worst outcome for the side that diverged.",
        "",
        f"Core checks: {len(core)}, of which {counts}. If every effect were exactly its threshold, about "
        f"{BY_CHANCE * len(core):.1f} of them ({100 * BY_CHANCE:g} % each) would support the paper by chance, at most.",
    ]


def evidence(j: Judgement) -> list[str]:
    """The lines on one claim: what was measured, and each check."""
    lines = ["", f"## {j.name}: {j.verdict}", "", f"{j.claim.statement} ({j.claim.source})", ""]
    lines += [f"Statistic: {j.claim.statistic}", "", f"Experiments: {', '.join(j.claim.experiments)}", ""]
    lines += [f"Note: {j.note}.", ""] if j.note else []
    if not j.effects:
        return lines[:-1]
    lines += ["| check | role | effect | 95 % interval | seeds | threshold | outcome |", "| --- " * 7 + "|"]
    for key, (effect, result) in j.effects.items():
        check = j.claim.checks[key]
        statement = check.statement + (f" (published: {check.published})" if check.published else "")
        statement = (statement + " (amended)" * bool(check.amended)).replace("|", r"\|")
        seeds = f"{effect.seeds}, {effect.diverged} diverged" if effect.diverged else f"{effect.seeds}"
        lines.append(
            f"| {key}: {statement} | {check.role} | {effect.estimate:.4g} | {effect.low:.4g} to {effect.high:.4g} | "
            f"{seeds} | > {check.threshold:g} ({check.reason}) | {IN_WORDS[result]} |"
        )
    changed = {key: j.claim.checks[key].amended for key in j.effects if j.claim.checks[key].amended}
    if changed:
        lines += ["", "Amended after results were seen:", ""]
        lines += [f"- {key}: {amendment_text(one)}" for key, several in changed.items() for one in several]
    return lines


def amendment_text(one) -> str:
    """What was changed, why, and whether that made the check stricter."""
    words = {True: "stricter", False: "less strict", None: "neither stricter nor less strict"}
    return f"{one.what}, since {one.why} ({words[one.stricter]})"
