"""From effects to verdicts, and the ledger that lists them."""

import io
from dataclasses import dataclass

import pandas as pd

from luckmatters.claims import biases, fan_out, lottery, overlap, theory
from luckmatters.claims.statistics import Effect, LacksDataError
from luckmatters.config import Claim, Project
from luckmatters.config.schema import Check, Verdict
from luckmatters.errors import UserError
from luckmatters.results import Results

# Of each claim: its experiments, and the functions that give the effects found in each.
CLAIMS = {**overlap.CLAIMS, **theory.CLAIMS, **fan_out.CLAIMS, **lottery.CLAIMS, **biases.CLAIMS}
CLAIMS["luck-speed"] = CLAIMS["luck-speed"] | fan_out.LUCK_SPEED
HOLDS, FAILS, OPEN = "holds", "fails", "undecided"


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict with the effect and the outcome (holds, fails, undecided) of each check; note: why none."""

    name: str
    claim: Claim
    verdict: Verdict
    effects: dict[str, tuple[Effect, str]]
    note: str = ""

    def count(self, kind: str) -> int:
        """How many checks have this outcome."""
        return sum(result == kind for _, result in self.effects.values())


def outcome(effect: Effect, check: Check, min_seeds: int) -> str:
    """Holds if the whole interval lies above the threshold, fails if none of it does, else undecided."""
    if effect.seeds < min_seeds:
        return OPEN
    if effect.low > check.threshold:
        return HOLDS
    return FAILS if effect.high <= check.threshold else OPEN


def judge(name: str, claim: Claim, results: dict[str, Results], scale: str) -> Judgement:
    """Supported if every check holds, partly if some do, not supported if none does.

    results: those that there are. Checks of an experiment without (or with too little) are left out and the claim is
    at most partly supported; it is not run if nothing is left, and not judged where the scale may not judge, or where
    every effect has fewer seeds than the claim asks for (a single one is undecided).
    """
    effects, missing, remarks = {}, [], []
    for experiment, functions in CLAIMS[name].items():
        if experiment not in results:
            missing.append(f"{experiment} has no results")
            continue
        for function in functions:
            try:
                found = function(results[experiment])
            except LacksDataError as error:
                missing.append(f"{experiment}: {error}")
            else:
                effects |= found
                remarks += [f"{experiment}: {effect.note}" for effect in found.values() if effect.note]
    if not set(effects) <= set(claim.checks) or not (missing or set(effects) == set(claim.checks)):
        raise UserError(
            f"config/claims.yaml: {name}.checks: has {', '.join(claim.checks)}; this claim has {', '.join(effects)}"
        )
    notes = missing + remarks
    if not effects:
        return Judgement(name, claim, "not run", {}, "; ".join(notes))
    judged = {
        key: (effects[key], outcome(effects[key], check, claim.min_seeds))
        for key, check in claim.checks.items()
        if key in effects
    }
    thin = {key: effect.seeds for key, effect in effects.items() if effect.seeds < claim.min_seeds}
    if thin:
        said = ", ".join(f"{key} has {seeds}" for key, seeds in thin.items())
        notes.append(f"{claim.min_seeds} seeds are needed to decide a check, {said}")
    note = "; ".join(notes)
    if scale not in claim.scales or len(thin) == len(effects):
        return Judgement(name, claim, "not judged at this scale", judged, note)
    holding = sum(result == HOLDS for _, result in judged.values())
    verdict = "supported" if holding == len(claim.checks) else "partly" if holding else "not supported"
    return Judgement(name, claim, verdict, judged, note)


def judge_all(project: Project, results: dict[str, Results]) -> list[Judgement]:
    """Every claim of config/claims.yaml, in its order, by the results that there are."""
    judgements = []
    for name, claim in project.claims.items():
        if name not in CLAIMS:
            raise UserError(f"config/claims.yaml: {name}: no such claim; allowed: {', '.join(CLAIMS)}")
        if set(claim.experiments) != set(CLAIMS[name]):
            raise UserError(f"config/claims.yaml: {name}.experiments: must be {', '.join(CLAIMS[name])}")
        judgements.append(judge(name, claim, results, project.scale_name))
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
        "hold, partly if some do, not supported if none does: which is weaker than refuted unless checks fail.",
        "",
        "| claim | verdict | checks: hold, undecided, fail | statement |",
        "| --- | --- | --- | --- |",
    ]
    for j in judgements:
        counts = ", ".join(str(j.count(kind)) for kind in (HOLDS, OPEN, FAILS)) if j.effects else "-"
        lines.append(f"| {j.name} | **{j.verdict}** | {counts} | {j.claim.statement} |")
    for j in judgements:
        lines += ["", f"## {j.name}: {j.verdict}", "", f"{j.claim.statement} ({j.claim.source})", ""]
        lines += [f"Statistic: {j.claim.statistic}", "", f"Experiments: {', '.join(j.claim.experiments)}", ""]
        lines += [f"Note: {j.note}.", ""] if j.note else []
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
