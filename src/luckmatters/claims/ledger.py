"""From effects to verdicts, and the ledger that lists them."""

import io
from dataclasses import dataclass

import pandas as pd

from luckmatters.claims.overlap import CLAIMS
from luckmatters.claims.statistics import Effect
from luckmatters.config import Claim, Project
from luckmatters.config.schema import Check, Verdict
from luckmatters.errors import UserError
from luckmatters.results import Results

HOLDS, FAILS, OPEN = "holds", "fails", "undecided"


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict with the effect and the outcome (holds, fails, undecided) of each check."""

    name: str
    claim: Claim
    verdict: Verdict
    effects: dict[str, tuple[Effect, str]]


def outcome(effect: Effect, check: Check, min_seeds: int) -> str:
    """Holds if the whole interval lies above the threshold, fails if none of it does, else undecided."""
    if effect.seeds < min_seeds:
        return OPEN
    if effect.low > check.threshold:
        return HOLDS
    return FAILS if effect.high <= check.threshold else OPEN


def judge(name: str, claim: Claim, results: dict[str, Results] | None, scale: str) -> Judgement:
    """Supported if every check holds, partly if some do, not supported if none does. ``results`` None: not run."""
    if results is None:
        return Judgement(name, claim, "not run", {})
    effects = CLAIMS[name](results)
    if set(effects) != set(claim.checks):
        raise UserError(
            f"config/claims.yaml: {name}.checks: has {', '.join(claim.checks)}; this claim has {', '.join(effects)}"
        )
    judged = {key: (effects[key], outcome(effects[key], check, claim.min_seeds)) for key, check in claim.checks.items()}
    holding = sum(result == HOLDS for _, result in judged.values())
    if scale not in claim.scales:
        verdict = "not judged at this scale"
    elif holding == len(judged):
        verdict = "supported"
    else:
        verdict = "partly" if holding else "not supported"
    return Judgement(name, claim, verdict, judged)


def judge_all(project: Project, results: dict[str, Results]) -> list[Judgement]:
    """Every claim of config/claims.yaml, in its order; one that lacks an experiment's results is not run."""
    judgements = []
    for name, claim in project.claims.items():
        if name not in CLAIMS:
            raise UserError(f"config/claims.yaml: {name}: no such claim; allowed: {', '.join(CLAIMS)}")
        complete = all(experiment in results for experiment in claim.experiments)
        wanted = {experiment: results[experiment] for experiment in claim.experiments} if complete else None
        judgements.append(judge(name, claim, wanted, project.scale_name))
    return judgements


def to_frame(judgements: list[Judgement]) -> pd.DataFrame:
    """A row a check: claim, verdict, check, outcome, estimate, low, high, seeds, threshold, reason."""
    rows = [
        {
            "claim": judgement.name, "verdict": judgement.verdict, "check": key, "outcome": result,
            "estimate": effect.estimate, "low": effect.low, "high": effect.high, "seeds": effect.seeds,
            "threshold": judgement.claim.checks[key].threshold, "reason": judgement.claim.checks[key].reason,
        }
        for judgement in judgements
        for key, (effect, result) in judgement.effects.items()
    ] + [{"claim": j.name, "verdict": j.verdict} for j in judgements if not j.effects]  # fmt: skip
    return pd.DataFrame(rows)


def to_csv(judgements: list[Judgement]) -> bytes:
    """The ledger as CSV."""
    buffer = io.StringIO()
    to_frame(judgements).to_csv(buffer, index=False, float_format="%.6g", lineterminator="\n")
    return buffer.getvalue().encode()


def to_markdown(project: Project, judgements: list[Judgement]) -> str:
    """The ledger for a reader: a table of verdicts, then every claim with its evidence."""
    lines = [
        f"# Claims at scale {project.scale_name}",
        "",
        f"Scale: {project.scale.purpose}. A check holds if its whole 95 % interval over seeds lies above the "
        "threshold, fails if none of it does, and is undecided otherwise. A claim is supported if all its checks "
        "hold, partly if some do, not supported if none does.",
        "",
        "| claim | verdict | checks that hold | statement |",
        "| --- | --- | --- | --- |",
    ]
    for j in judgements:
        holding = sum(result == HOLDS for _, result in j.effects.values())
        lines.append(f"| {j.name} | **{j.verdict}** | {holding} of {len(j.claim.checks)} | {j.claim.statement} |")
    for j in judgements:
        lines += ["", f"## {j.name}: {j.verdict}", "", f"{j.claim.statement} ({j.claim.source})", ""]
        lines += [f"Statistic: {j.claim.statistic}", f"Experiments: {', '.join(j.claim.experiments)}", ""]
        lines += [
            "| check | effect | 95 % interval | seeds | threshold | outcome |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for key, (effect, result) in j.effects.items():
            check = j.claim.checks[key]
            lines.append(
                f"| {key}: {check.statement} | {effect.estimate:.4g} | {effect.low:.4g} to {effect.high:.4g} | "
                f"{effect.seeds} | > {check.threshold:g} ({check.reason}) | {result} |"
            )
    return "\n".join(lines) + "\n"
