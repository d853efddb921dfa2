"""What the page of a claim holds besides the judgement itself."""

import pandas as pd

from luckmatters.ledger import CONTRADICTS, EVIDENCE, SUPPORTS, UNDECIDED, Judgement, counted, limits
from luckmatters.report.gather import Material
from luckmatters.report.words import number

# Headings of the parts of the evidence, by role.
PARTS = {
    "core": "Core checks: the verdict goes by these alone",
    "control": "Floors and controls",
    "refinement": "Refinements",
    "exploratory": "Exploratory checks",
}


def in_short(judgement: Judgement) -> str:
    """A sentence on the core checks, with their numbers."""
    if not judgement.effects:
        return "No check has results at this scale."
    texts = []
    for key in judgement.claim.core:
        if key in judgement.effects:
            effect, outcome = judgement.effects[key]
            verb = {SUPPORTS: "supports the claim", CONTRADICTS: "contradicts it", UNDECIDED: "is undecided"}[outcome]
            texts.append(
                f"`{key}` {verb}: {number(effect.estimate)}{interval(judgement, key)}, {counted(judgement, key)}"
            )
        else:
            texts.append(f"`{key}` has no results")
    return "; ".join(texts) + "."


def interval(judgement: Judgement, key: str) -> str:
    """The limits of an effect in brackets; empty without limits."""
    text = limits(judgement, key, number)
    return f" ({text})" if text else ""


def if_false(judgement: Judgement, key: str) -> str:
    """What a check's effect would have to be for another outcome, with the distance to go."""
    threshold = judgement.claim.checks[key].threshold
    text = f"It would contradict the claim if the whole interval lay at {number(threshold)} or below."
    if key not in judgement.effects:
        return text
    effect, outcome = judgement.effects[key]
    if outcome == SUPPORTS:
        return f"{text} The lower limit is {number(effect.low - threshold)} above that."
    if outcome == CONTRADICTS:
        return f"That is so. It would support the claim if the whole interval lay above {number(threshold)}; " + (
            f"the upper limit is {number(threshold - effect.high)} short of that value."
        )
    if effect.seeds < judgement.claim.min_seeds:
        return f"{text} {counted(judgement, key)} do not decide; {judgement.claim.min_seeds} are needed."
    return f"{text} It would support the claim if the whole interval lay above; {number(threshold)} lies inside."


def seeds(judgement: Judgement) -> str:
    """The numbers of seeds behind the checks, as a text."""
    counts = dict.fromkeys(counted(judgement, key) for key in judgement.effects)
    return ", ".join(counts)


def teachers(material: Material, judgement: Judgement) -> dict[str, str]:
    """How many teachers stand behind each experiment of a claim, in words; without those that have none."""
    texts = {}
    for name in judgement.claim.experiments:
        runs = [run for run, _ in material.project.available(name).values() if run.teacher]
        kinds = {run.trained.settings.teacher.name: run.trained.settings.teacher.seed for run in runs}
        parts = [
            f"{teacher}: each seed its own" if seed == "own" else f"{teacher}: the same for all seeds"
            for teacher, seed in kinds.items()
        ]
        if parts:
            texts[name] = "; ".join(parts)
    return texts


def published(material: Material, judgement: Judgement) -> pd.DataFrame:
    """The published curves that a claim's experiments are compared with: rows of :attr:`Material.curves`."""
    curves = material.curves
    if curves.empty:
        return curves
    runs = {
        f"{run.experiment}/{run.variant}"
        for name in judgement.claim.experiments
        for run, _ in material.project.available(name).values()
    }
    return curves[(curves["experiment"] + "/" + curves["variant"]).isin(runs)]


def snippet(material: Material, judgement: Judgement) -> str:
    """Python that recomputes a core check from the tables; empty if no core check has results."""
    keys = [key for key in judgement.claim.core if key in judgement.effects]
    if not keys:
        return ""
    project = material.project
    return "\n".join([
        "from pathlib import Path",
        "from luckmatters.config import Project",
        "from luckmatters.ledger import EVIDENCE",
        "from luckmatters.reading import load",
        "",
        f'project = Project(Path(), scale="{project.scale_name}", kept="{project.keeping}")',
        f'check = EVIDENCE["{judgement.name}"]["{keys[0]}"]',
        "print(check(load(project, check.experiment)))",
    ])  # fmt: skip


def code(judgement: Judgement) -> list[str]:
    """Paths of the files with the functions that judge a claim, from the root of the checkout."""
    names = dict.fromkeys(check.measure.__module__ for check in EVIDENCE[judgement.name].values())
    return [f"src/{name.replace('.', '/')}.py" for name in names]
