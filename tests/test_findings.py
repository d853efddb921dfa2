"""What documents say of results, from constructed tables with every outcome."""

import pandas as pd
import pytest
from conftest import ROOT

from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.findings import END, START, Kept, beside_published, block, documents, page

PROJECT = Project(ROOT, scale="laptop")
# A verdict of each kind, with the role and the outcome of the claim's first checks.
VERDICTS = {
    "supported": [("core", "supports"), ("refinement", "contradicts")],
    "mixed": [("core", "supports"), ("core", "contradicts"), ("control", "undecided")],
    "contradicted": [("core", "contradicts")],
    "undecided": [("core", "undecided"), ("exploratory", "supports")],
    "not judged at this scale": [("core", "undecided")],
    "not run": [],
}
CLAIMS = dict(
    zip([name for name, claim in PROJECT.claims.items() if len(claim.checks) > 2], VERDICTS.items(), strict=False)
)
RUN = {"seconds": 1930.0, "cores": 2, "processor": "a processor"}


def ledger() -> pd.DataFrame:
    """The claims' checks, whose estimates count up from 0.5 in steps of 1, ± 0.25, against a threshold of −1."""
    rows = []
    for claim, (verdict, judged) in CLAIMS.items():
        for check, (role, outcome) in zip(PROJECT.claims[claim].checks, judged, strict=False):
            estimate = len(rows) + 0.5
            rows.append({
                "claim": claim, "verdict": verdict, "check": check, "role": role, "outcome": outcome,
                "estimate": estimate, "low": estimate - 0.25, "high": estimate + 0.25, "seeds": 8, "threshold": -1,
                "reason": "|H*| is one",
            })  # fmt: skip
        if not judged:
            rows.append({"claim": claim, "verdict": verdict})
    return pd.DataFrame(rows)


def kept(**changed) -> Kept:
    return Kept(**{"project": PROJECT, "ledger": ledger(), "run": RUN, "summaries": {}} | changed)


def names(verdict: str) -> tuple[str, list[str]]:
    """A claim with this verdict, and its checks."""
    claim = next(name for name, (its, _) in CLAIMS.items() if its == verdict)
    return claim, list(PROJECT.claims[claim].checks)


def line(text: str, start: str) -> str:
    (found,) = [line for line in text.splitlines() if line.startswith(start)]
    return found


def test_the_constructed_ledger_has_every_verdict() -> None:
    assert len(CLAIMS) == len(VERDICTS)


def test_readme_shows_verdicts_and_core_checks_only() -> None:
    text = block(kept())
    claim, (first, second, *_) = names("mixed")
    assert line(text, f"| `{claim}` ").endswith(
        f"| **mixed** | `{first}` supports: 2.5 (2.25 to 2.75); above −1, 8 seeds<br>"
        f"`{second}` contradicts: 3.5 (3.25 to 3.75); above −1, 8 seeds |"
    )
    assert line(text, f"| `{names('not run')[0]}` ").endswith("| **not run** | none judged |")
    assert "| **not judged at this scale** | `" in text
    assert "Of 6 core checks 2 support the article, 2 contradict it and 2 are undecided." in text
    assert "0.15 would support it by chance" in text  # 2.5 % of 6
    assert "took 32 minutes on 2 cores (a processor)" in text
    assert sum(line.startswith("| `") for line in text.splitlines()) == len(PROJECT.claims)


def test_the_page_shows_every_check_with_its_role_and_reason() -> None:
    text = page(kept())
    claim, (_, second, *_) = names("supported")
    assert f"## `{claim}`: supported" in text
    assert line(text, f"| `{second}` ").endswith(
        "| refinement | contradicts | 1.5 (1.25 to 1.75) | above −1, 8 seeds | \\|H\\*\\| is one |"
    )
    assert text.count(" is one |") == len(ledger().dropna(subset="check"))
    assert f"## `{names('not run')[0]}`: not run" in text


def test_the_page_shows_the_kept_teachers() -> None:
    assert "| `cifar-conv` | paper | 83.68% | 86.40% | CIFAR-10, 50,000 + 10,000 images" in page(kept())


def test_a_run_that_was_not_timed_says_so() -> None:
    assert "The whole run was not timed." in block(kept(run=RUN | {"seconds": None}))


def test_nothing_but_the_marked_part_of_the_readme_changes() -> None:
    old, new = (ROOT / "README.md").read_text(encoding="utf-8"), documents(kept())["README.md"]
    assert old.split(START)[0] == new.split(START)[0]
    assert old.split(END)[1] == new.split(END)[1]
    assert new.split(START)[1].split(END)[0] == "\n" + block(kept())


def test_a_readme_without_marks_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "README.md").write_text(f"{END} {START}")
    monkeypatch.setattr(PROJECT, "root", tmp_path)
    with pytest.raises(UserError, match="has no place for results"):
        documents(kept())


def test_our_curves_beside_the_published_ones() -> None:
    """0.02 too high before training; afterwards 0.01 too high in half of the places, 0.03 too low in the others."""
    name, variant = "gaus-fc", "bn"
    file = PROJECT.experiment(name).figure.published[variant]
    levels = pd.read_csv(ROOT / "data" / "published" / file).dropna(subset="value")
    levels = levels.groupby(["quantity", "epoch"]).filter(lambda rows: len(rows) % 2 == 0)  # layers
    sign = levels.groupby(["quantity", "epoch"]).cumcount() % 2
    moved = sign.map({0: 0.01, 1: -0.03}).where(levels["epoch"] > 0, 0.02)
    ours = levels.assign(variant=variant, mean=levels["value"] + moved, departure=moved / 0.01)
    found = beside_published(
        kept(summaries={name: ours[["variant", "quantity", "layer", "epoch", "mean", "departure"]]})
    )
    found = found[found["variant"] == variant]
    assert found["start"].tolist() == pytest.approx([0.02] * len(found))
    assert found["later"].tolist() == pytest.approx([0.0005**0.5] * len(found))
    assert found["errors"].tolist() == pytest.approx([5**0.5] * len(found))
    assert set(found["epochs"]) == {levels["epoch"].max()}
