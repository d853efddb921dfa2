"""The page docs/experiments.md, written from the experiments' files: what each asks, and what it costs as published."""

from luckmatters.config import Project
from luckmatters.costs import in_words
from luckmatters.kinds import verb
from luckmatters.markdown import table

HEAD = """# Experiments

Every experiment, with its cost at the published settings. Written by `luckmatters configuration` from the files in
[config/experiments](../config/experiments); not to be edited. A file says what is known from the paper, what is our
choice, and what each scale reduces. Its name is the name of its results and of its figure.
[configuration.md](configuration.md) explains the keys.

Cost: floating-point operations of training, and times at the rates in [cost.md](cost.md). Kinds that train nothing are
not counted. A variant that belongs to another experiment is counted there.
"""
COLUMNS = ["experiment", "question", "in the paper", "judged by", "cost at the published settings"]


def page(project: Project) -> str:
    """Text of the page; project: at the published settings."""
    rows = []
    for name, experiment in project.experiments.items():
        trained = [run for run in project.own_runs(name).values() if verb(run) in ("train", "retrain")]
        claims = [f"`{key}`" for key, claim in project.claims.items() if name in claim.experiments]
        rows.append([
            f"[`{name}`](../config/experiments/{name}.yaml)", experiment.question, experiment.published_as,
            ", ".join(claims) or "–", in_words(trained) if trained else "–",
        ])  # fmt: skip
    return f"{HEAD}\n{table(COLUMNS, rows)}\n"
