"""What documents say of results, from constructed tables with every outcome."""

import re
import shutil
from collections.abc import Callable
from itertools import count, cycle
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
from conftest import ROOT

from luckmatters.artefacts import kept_folder, reference_file
from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.findings import (
    END,
    START,
    Kept,
    block,
    counts,
    documents,
    inferred_rate,
    kept_rates,
    page,
    rate_departures,
    read,
)
from luckmatters.judging.statistics import Effect
from luckmatters.ledger import CONTRADICTS, SUPPORTS, UNDECIDED, Judgement, from_csv, judge_all, limits, to_csv
from luckmatters.settings.claims import Verdict

PROJECT = Project(ROOT, scale="laptop")
# A claim for each verdict, with the outcomes of its core checks in turn; other checks contradict the paper.
VERDICTS = {
    "supported": [SUPPORTS],
    "mixed": [SUPPORTS, CONTRADICTS],
    "contradicted": [CONTRADICTS],
    "undecided": [UNDECIDED],
    "not judged at this scale": [UNDECIDED],
    "not run": [],
}
CLAIMS = dict(zip(PROJECT.claims, VERDICTS, strict=False))
RUN = {"seconds": 1930.0, "cores": 2, "processor": "a processor", "experiments": 7}


def ledger() -> list[Judgement]:
    """Estimates count up from 0.5 in steps of 1, with limits 0.25 away."""
    numbers, found = count(), []
    for name, verdict in CLAIMS.items():
        claim, effects = PROJECT.claims[name], {}
        outcomes = cycle(VERDICTS[verdict])
        for key in [*claim.core, *(key for key in claim.checks if key not in claim.core)] if VERDICTS[verdict] else []:
            middle = next(numbers) + 0.5
            effect = Effect(middle, middle - 0.25, middle + 0.25, 8)
            effects[key] = effect, next(outcomes) if key in claim.core else CONTRADICTS
        found.append(Judgement(name, claim, verdict, effects, "a note" * (verdict == "not run")))
    return found


def kept(**changed) -> Kept:
    return Kept(**{"project": PROJECT, "ledger": ledger(), "run": RUN, "summaries": {}} | changed)


PUBLISHED = Kept(Project(ROOT, scale="paper"), judge_all(PROJECT, {}), {}, {})  # nothing has run


def line(text: str, start: str) -> str:
    (found,) = [line for line in text.splitlines() if line.startswith(start)]
    return found


def test_the_test_ledger_has_every_verdict() -> None:
    assert {one.verdict for one in ledger()} == {*get_args(Verdict)}


def test_the_results_show_verdicts_and_core_checks_only() -> None:
    text, judged = block(kept(), PUBLISHED), ledger()
    for one in judged:
        said = "<br>".join(
            f"`{key}` {result}: {effect.estimate:g} ({effect.low:g} to {effect.high:g}); "
            + f"above {one.claim.checks[key].threshold:.4g}, 8 seeds".replace("-", "−")
            for key, (effect, result) in one.effects.items()
            if one.claim.checks[key].role == "core"
        )
        assert line(text, f"| `{one.name}` ").endswith(f"| **{one.verdict}** | not run | {said or 'not judged'} |")
    core = [result for one in judged for key, (_, result) in one.effects.items() if key in one.claim.core]
    counts = f"{core.count(SUPPORTS)} support the paper, {core.count(CONTRADICTS)} contradict it"
    total = sum(len(one.claim.core) for one in judged)
    assert f"{total - len(core)} have no results" in text
    assert f"Core checks: {total}, of which {counts}, {core.count(UNDECIDED)} are undecided." in text
    assert "one piece, of 7 experiments, took 32 minutes on 2 cores (a processor)" in text


def test_the_page_shows_every_check_with_its_reason() -> None:
    text = page(kept())
    for one in ledger():
        assert f"## {one.name}: {one.verdict}" in text
        for key, (effect, _) in one.effects.items():
            found = line(text, f"| {key}: {one.claim.checks[key].statement.replace('|', chr(92) + '|')}")
            assert f"| {one.claim.checks[key].role} | {effect.estimate:.4g} |" in found
            assert one.claim.checks[key].reason in found
    assert "Note: a note." in text


def judged(name: str, keys: list[str], effect: Effect) -> Judgement:
    return Judgement(name, PROJECT.claims[name], "undecided", dict.fromkeys(keys, (effect, UNDECIDED)))


def test_agreements_have_no_interval_and_shares_have_bounds() -> None:
    """A check over seeds, of the same claim, has an interval even where it has no width."""
    one = judged("recovery", ["grows", "second-layer"], Effect(0.5, 0.5, 0.5, 12))
    wide, exact = (judged("small-overlap", ["vgg11"], Effect(0.9, low, 0.9, 2752)) for low in (0.7, 0.9))
    text = page(kept(ledger=[one, wide]))
    assert "| 0.5 | 0.5 to 0.5 | 12 |" in line(text, "| grows: ")
    assert "| 0.5 | none | 12 |" in line(text, "| second-layer: ")
    assert "| 0.9 | bounds 0.7 to 0.9 | 2752 channels |" in line(text, "| vgg11: ")
    assert "`vgg11` undecided: 0.9 (bounds 0.7 to 0.9); above 0.5, 2752 channels" in block(
        kept(ledger=[wide]), PUBLISHED
    )
    assert "`vgg11` undecided: 0.9; above 0.5, 2752 channels" in block(kept(ledger=[exact]), PUBLISHED)


def test_every_effect_without_an_interval_says_so() -> None:
    """From the kept ledger: an interval over seeds has a width."""
    for one in read(PROJECT).ledger:
        for key, (effect, _) in one.effects.items():
            assert effect.low < effect.high or not limits(one, key), f"{one.name}/{key}"


def test_every_claim_links_to_experiments_summaries_and_code_that_exist() -> None:
    text = page(kept(ledger=judge_all(PROJECT, {})))
    for part, (name, claim) in zip(text.split("\n## ")[1:], PROJECT.claims.items(), strict=False):
        assert part.startswith(f"{name}: ")
        links = re.findall(r"\]\(\.\./(.*?)\)", part)
        asked = {f"config/experiments/{one}.yaml" for one in claim.experiments}
        asked |= {reference_file("laptop", one).as_posix() for one in claim.experiments}
        asked |= {kept_folder(Path(), "laptop", one).as_posix() for one in claim.experiments}
        asked = {path for path in asked if (ROOT / path).exists()}
        assert asked < set(links)
        assert all((ROOT / link).exists() for link in links)
        assert any(f'"{name}"' in (ROOT / link).read_text() for link in set(links) - asked)
        assert all(f": {text}" in part for one in claim.experiments for text in PROJECT.reduced(one).values())


def test_the_page_of_published_settings_has_both_verdicts() -> None:
    """Beside one another, and nothing on trained teachers, which the other page has."""
    text = page(PUBLISHED, beside=kept(ledger=[*ledger(), *PUBLISHED.ledger[len(VERDICTS) :]]))
    for one in ledger():
        assert line(text, f"| `{one.name}` | **not run** | not judged | {one.verdict} | ")
    assert "luckmatters --scale paper kept" in text
    assert "Teachers trained on labels" not in text


def test_a_ledger_is_read_as_it_was_written() -> None:
    assert from_csv(PROJECT, to_csv(ledger()))[: len(VERDICTS)] == ledger()
    assert [one.verdict for one in from_csv(PROJECT, to_csv(ledger()))[len(VERDICTS) :]] == ["not run"] * (
        len(PROJECT.claims) - len(VERDICTS)
    )


def test_a_ledger_of_other_checks_is_refused() -> None:
    content = to_csv(ledger())
    check = PROJECT.claims[ledger()[0].name].core[0]
    with pytest.raises(UserError, match="has no renamed, which the ledger judges"):
        from_csv(PROJECT, content.replace(f",{check},".encode(), b",renamed,"))


def test_the_page_shows_the_kept_teachers() -> None:
    assert "| `cifar-conv` | paper | 83.68% | 86.40% | CIFAR-10, 50,000 + 10,000 images" in page(kept())


def test_without_kept_results_every_claim_is_not_run_and_the_text_says_so() -> None:
    text = block(kept(ledger=judge_all(PROJECT, {}), run={}), PUBLISHED)
    assert "No whole run of this scale is kept yet" in text
    assert text.count("**not run**") == len(PROJECT.claims)
    assert "Core checks" not in text


@pytest.mark.parametrize(("name", "part"), [("README.md", counts), ("docs/results.md", block)])
def test_nothing_but_the_marked_part_of_a_document_changes(name: str, part: Callable) -> None:
    full = kept(ledger=[*ledger(), *PUBLISHED.ledger[len(VERDICTS) :]])
    old, new = (ROOT / name).read_text(encoding="utf-8"), documents(full, PUBLISHED)[name]
    assert old.split(START)[0] == new.split(START)[0]
    assert old.split(END)[1] == new.split(END)[1]
    assert new.split(START)[1].split(END)[0] == "\n" + part(full, PUBLISHED)


def test_the_readme_counts_claims_by_verdict_and_names_those_that_ran() -> None:
    lines = counts(kept(), PUBLISHED).splitlines()
    names = dict(zip(VERDICTS, CLAIMS, strict=True))
    for verdict, claim in names.items():
        (line,) = (line for line in lines if line.startswith(f"| **{verdict}** |"))
        named = f"1: `{claim}`" if verdict != "not run" else "1"
        assert line.split(" | ")[1] == named
    assert lines[-2].endswith(f"| {len(PROJECT.claims)} |")  # no claim has run at the published settings


@pytest.mark.parametrize("name", ["README.md", "docs/results.md"])
def test_a_document_without_marks_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    for document in ("README.md", "docs/results.md"):
        shutil.copy(ROOT / document, tmp_path / document)
    (tmp_path / name).write_text(f"{END} {START}")
    monkeypatch.setattr(PROJECT, "root", tmp_path)
    with pytest.raises(UserError, match=f"{name}: has no place for results"):
        documents(kept(), PUBLISHED)


def test_the_page_has_a_row_for_each_published_curve() -> None:
    """Two units too low at the last epoch, five too low at the one before, as published at 18 earlier ones."""
    name, variant = "over-param", "m1-no-bn"
    file = PROJECT.experiment(name).figure.published[variant]
    levels = pd.read_csv(ROOT / "data" / "published" / file).query("1 <= epoch <= 20 and layer < 2")
    moved = levels["epoch"].map({19: -5.0, 20: -1.999}).fillna(0.0)
    unit = (0.01**2 * (1 / 12 + 1 / 32) + levels["uncertainty"] ** 2) ** 0.5
    ours = levels.assign(variant=variant, mean=levels["value"] + moved * unit, std=0.01, seeds=12)
    ours = ours[["variant", "quantity", "layer", "epoch", "mean", "std", "seeds"]]
    text = page(kept(summaries={name: ours}))
    start = "| `over-param-m1-no-bn` | `over-param/m1-no-bn` | correlation_192 | – | "
    why = PROJECT.published[file].causes[f"{name}/{variant}"]["correlation_192"].why
    for layer in (0, 1):
        said = f"{layer} | 20 | 20% | 95% | −5.0 | 19 | own |  |"
        assert line(text, f"{start}{layer} |") == start + said
    ours.loc[ours["epoch"] == 3, "mean"] += 1
    text = page(kept(summaries={name: ours}))
    assert line(text, f"{start}0 |").endswith(
        f"| 20 | 20% | 90% | +{(1 / unit.iloc[2]):.1f} | 3 | own | setting: {why} |"
    )
    assert f"- `{name}`: {PROJECT.experiment(name).figure.published_note}" in text


def test_a_page_without_kept_curves_says_so() -> None:
    assert "No kept table has a published curve." in page(kept())


def departing(rate: float, multiplier: int, *departures: float) -> list[dict]:
    keys = {"rate": rate, "multiplier": multiplier, "quantity": "correlation_192", "seeds": 32}
    return [{**keys, "epoch": i // 2 + 1, "layer": i % 2, "departure": one} for i, one in enumerate(departures)]


def test_the_inferred_rate_has_the_smallest_sum_over_both_multipliers() -> None:
    rows = departing(0.05, 1, 1, 2, 3, 4) + departing(0.05, 10, 0, 0) + departing(0.1, 1, -3, 0) + departing(0.1, 10, 1)
    early = [{**one, "epoch": 0} for one in departing(0.1, 1, 99)] + [
        {**one, "epoch": 21} for one in departing(0.1, 1, 99)
    ]
    other = [{**one, "quantity": "correlation"} for one in departing(0.1, 10, 99)]
    table = pd.DataFrame(rows + early + other)
    found = rate_departures(table)
    assert found["sum"].to_dict() == {(1, 0.05): 30, (1, 0.1): 9, (10, 0.05): 0, (10, 0.1): 1}
    assert found.loc[(1, 0.05), 0] == pytest.approx(5**0.5)
    assert inferred_rate(table) == 0.1
    assert inferred_rate(table[table["multiplier"] == 10]) == 0.05


def test_experiments_have_the_rate_that_the_kept_table_infers() -> None:
    """Departures anew, from the kept means and the published curves."""
    project = Project(ROOT, scale="paper")
    table = kept_rates(project)
    assert {(0.05, 1), (0.1, 10)} < {*zip(table["rate"], table["multiplier"], strict=True)}
    for name in ("over-param", "luck-speed"):
        for run in project.own_runs(name).values():
            assert [step.rate for step in run.settings.training.learning_rate] == [inferred_rate(table)]
    assert set(table["seeds"]) == {32}
    for variant, rows in table.groupby("variant"):
        file = ROOT / "data/published" / project.experiment("learning-rate").figure.published[variant]
        both = rows.merge(pd.read_csv(file), on=["quantity", "layer", "epoch"], suffixes=("", "_file"))
        assert len(both) == len(rows) == 80
        error = (both["std"] ** 2 * 2 / 32 + both["uncertainty_file"] ** 2) ** 0.5
        assert both["departure"].to_numpy() == pytest.approx(
            ((both["mean"] - both["value"]) / error).to_numpy(), abs=1e-4
        )
