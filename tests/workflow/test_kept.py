"""What is kept in data/reference: whole, of committed code and the configuration in force; what documents say of it."""

import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, Checkout

from luckmatters import findings, provenance, reports
from luckmatters.artefacts import reference_file, reference_folder, summary_files
from luckmatters.cli import main
from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.settings.experiment import config_hash

# Without kept results, the documents say so: test_documents_equal_those_written_from_kept_results.
KEPT = pytest.mark.skipif(
    not (ROOT / reference_folder("laptop")).exists(), reason="no results of the laptop scale are kept yet"
)
LAPTOP, CI = Project(ROOT, scale="laptop"), Project(ROOT, scale="ci")
# Not every experiment needs results of the laptop scale: a claim without them is "not run".
NAMES = sorted(path.stem for path in (ROOT / reference_folder("laptop")).glob("*.csv"))
REMEDY = "run the laptop scale again with committed code, then make reference SCALE=laptop SECONDS=…"


def origin(name: str) -> dict:
    """Where a kept table comes from; fails in one line if it is missing."""
    path = ROOT / reference_file("laptop", name).with_suffix(".json")
    if not path.exists():
        pytest.fail(f"{name}: {path.relative_to(ROOT)} is missing; {REMEDY}", pytrace=False)
    return json.loads(path.read_text())


@KEPT
@pytest.mark.parametrize("name", [name for name in NAMES if name != "claims"])
def test_a_kept_table_matches_the_configuration(name: str) -> None:
    """A change of settings at the laptop scale asks for a new run."""
    found, runs = origin(name), {variant: run for variant, (run, _) in LAPTOP.variants(name).items()}
    same_settings = found["config_hashes"] == sorted({config_hash(run) for run in runs.values()})
    same_seeds = {variant: one["seeds"] for variant, one in found["variants"].items()} == {
        variant: run.seeds for variant, run in runs.items()
    }
    if not (same_settings and same_seeds):
        pytest.fail(f"{name}: the kept table is of other settings or seeds than config/ has; {REMEDY}", pytrace=False)


@KEPT
def test_committed_code_made_all_kept_files_and_no_file_is_altered() -> None:
    assert provenance.is_clean(origin("run")["code"])
    for name in NAMES:
        said = origin(name)
        assert all(provenance.is_clean(made["code"]["commit"]) for made in said["made_with"])
        assert provenance.is_clean((said.get("drawn_with") or said["judged_with"])["code"]["commit"])
        findings.bundle(LAPTOP, name).read(f"{name}.csv")
    assert "claims" in NAMES
    assert {*NAMES} <= {*LAPTOP.experiments, "claims"}


@KEPT
def test_the_kept_ledger_has_the_claims_of_the_configuration() -> None:
    origin("claims")
    rows = pd.read_csv(ROOT / reference_file("laptop", "claims")).dropna(subset="check")
    found = {(row.claim, row.check): (row.role, row.threshold, row.reason) for row in rows.itertuples()}
    asked = {
        (name, key): (check.role, check.threshold, check.reason)
        for name, claim in LAPTOP.claims.items()
        for key, check in claim.checks.items()
    }
    assert found == {key: asked.get(key) for key in found}


def test_documents_equal_those_written_from_kept_results() -> None:
    for name, text in findings.documents(findings.read(LAPTOP), findings.of_published_settings(LAPTOP)).items():
        assert (ROOT / name).read_bytes() == text.encode(), f"{name}: luckmatters findings writes it anew"


# --- the command that keeps ---


def git_checkout(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed copy that provenance takes for the package's own."""
    checkout.commit()
    monkeypatch.setattr(provenance, "ROOT", checkout.folder)
    return checkout.folder


def test_a_committed_checkout_is_clean(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = git_checkout(checkout, monkeypatch)
    (folder / "results").mkdir()
    (folder / "results" / "new").touch()
    provenance.require_clean()


@pytest.mark.parametrize("name", ["README.md", "src/luckmatters/cli.py", "config/experiments/new.yaml"])
def test_a_changed_or_new_file_is_named_and_refused(
    name: str, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_checkout(checkout, monkeypatch)
    checkout.append(name, "\n")
    with pytest.raises(UserError, match=rf"differs from its commit \({re.escape(name)}\); commit before"):
        provenance.require_clean()


def test_a_folder_without_git_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    with pytest.raises(UserError, match="is no git checkout"):
        provenance.require_clean()


def test_incomplete_experiments_are_named(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reports, "require_clean", lambda: None)
    assert main(["--project", str(ROOT), "--scale", "ci", "reference"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"not complete at scale ci: {', '.join(CI.experiments)}; run snakemake" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("commits", "message"),
    [
        ({"a": {"1"}, "b": {"2"}, "c": {"2"}}, "made by 1: a; 2: b, c$"),
        ({"a": {"1", "2"}}, "made by 1: a; 2: a$"),
        ({"a": {"1"}, "teachers/t": {"2"}}, "made by 1: a; 2: teachers/t$"),
        ({"a": {"1-dirty"}}, "made by 1-dirty: a$"),
        ({"a": {"unknown"}}, "made by unknown: a$"),
    ],
)
def test_results_of_several_commits_or_of_none_are_refused(commits: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        provenance.common_code(commits)
    clean = not any(code == "unknown" or code.endswith("-dirty") for codes in commits.values() for code in codes)
    with contextlib.nullcontext() if clean else pytest.raises(UserError, match=message):
        provenance.require_clean_code(commits)


def test_results_of_one_commit_are_kept_with_its_name(checkout: Checkout) -> None:
    def luckmatters(*arguments: str, status: int = 0) -> str:
        return checkout.run("luckmatters", "--scale", "ci", *arguments, status=status).stderr

    commit = checkout.commit()
    luckmatters("generate-teacher", "gaus-fc-large")
    for variant in ("no-bn", "bn"):
        luckmatters("train", "gaus-fc", variant)
    luckmatters("reference", "gaus-fc")
    found = json.loads((checkout.folder / reference_file("ci", "gaus-fc")).with_suffix(".json").read_text())
    assert [made["code"]["commit"] for made in found["made_with"]] == [commit]
    assert found["drawn_with"]["code"]["commit"] == commit
    assert "differs from its commit (data/reference/ci/gaus-fc" in luckmatters("reference", "gaus-fc", status=2)
    later = checkout.commit()
    luckmatters("train", "gaus-fc", "bn")
    said = luckmatters("reference", "gaus-fc", "--seconds", "9", status=2)  # as if in one piece
    assert f"{commit}: gaus-fc" in said
    assert f"{later}: gaus-fc" in said


def test_one_command_keeps_a_whole_run(finished_copy: Checkout) -> None:
    def luckmatters(verb: str, *arguments: str) -> None:
        finished_copy.run("luckmatters", "--scale", "ci", verb, *arguments)

    luckmatters("reference", "--seconds", "90")
    folder, kept = finished_copy.folder, finished_copy.folder / reference_folder("ci")
    for name in (*CI.experiments, "claims"):
        made = (folder / summary_files(CI.figures, name)["csv"]).read_bytes()
        assert (kept / f"{name}.csv").read_bytes() == made
        said = json.loads((kept / f"{name}.json").read_text())
        assert provenance.is_clean((said.get("drawn_with") or said["judged_with"])["code"]["commit"])
    run = json.loads((kept / "run.json").read_text())
    assert run["seconds"] == 90
    assert provenance.is_clean(run["code"])
    luckmatters("findings")
    assert "took 2 minutes" in (folder / "docs" / "results.md").read_text(encoding="utf-8")
    assert len(pd.read_csv(kept / "claims.csv")) > len(CI.claims)
    assert "# Results at the scale `ci`" in (folder / "docs" / "findings.md").read_text(encoding="utf-8")


def test_a_clone_draws_what_is_kept_without_computing(finished_copy: Checkout) -> None:
    """Every experiment is kept and the results are deleted: figures, summaries and the ledger are the same."""
    folder, only = finished_copy.folder, ("--config", "scale=ci", "kept=only")
    finished_copy.run("luckmatters", "--scale", "ci", "keep", *CI.experiments)
    before = {path: path.read_bytes() for path in (folder / CI.figures).glob("*.csv")}
    shutil.rmtree(folder / "results")
    shutil.rmtree(folder / CI.figures)
    planned = finished_copy.planned(*only)
    shown = {"draw_figure", "draw_animation", "summarize_experiment", "compare_published", "judge_claims"}
    shown |= {"write_report"}
    assert planned.keys() == shown
    assert planned["draw_figure"] == planned["summarize_experiment"] == len(CI.experiments)
    drawn = [str(CI.figures / name) for name in ("gaus-fc.csv", "two-nodes.csv", "claims.csv", "decision-lines.png")]
    said = finished_copy.snakemake(*only, "--", *drawn).stderr
    assert "`kept` is only" in said
    assert not (folder / "results" / "ci" / "gaus-fc").exists()
    for name in drawn[:3]:
        old, new = (
            pd.read_csv(io.BytesIO(content)) for content in (before[folder / name], (folder / name).read_bytes())
        )
        # Values are kept in single precision; limits of two seeds move up to a hundred times as far.
        pd.testing.assert_frame_equal(new, old, rtol=1e-5, atol=1e-5)
