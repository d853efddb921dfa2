"""Kept results: written whole, read like computed ones, and never used where they are damaged or of other settings."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from luckmatters import artefacts, keeping, kinds, plan, provenance
from luckmatters.artefacts import MANIFEST, SUPERSEDED, TABLE, Bundle
from luckmatters.cli import main
from luckmatters.config import Project
from luckmatters.drawing.style import origin
from luckmatters.errors import UserError
from luckmatters.jobs import verbs
from luckmatters.kinds import Layout
from luckmatters.plan import Plan
from luckmatters.reading import is_complete, load

RUNS = {"two-nodes": ["matrix", "accurate"], "decision-lines": ["n6", "n20"]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of two experiments, finished at the ci scale and kept."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(ROOT / "config", folder / "config")
    scale = folder / "config" / "scales" / "ci.yaml"
    scale.write_text(scale.read_text().replace("seeds_per_job: 8", "seeds_per_job: 1"))
    shutil.copytree(ROOT / "data" / "published", folder / "data" / "published")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(provenance, "code", lambda: {"commit": "0123456789ab"})
        patch.setattr(keeping, "require_clean", lambda: None)
        project = Project(Path(), scale="ci")
        for name, variants in RUNS.items():
            for variant in variants:
                for seeds in project.chunks(project.run(name, variant)):
                    verbs.simulate(project, name, variant, seeds)
        keeping.keep(project, list(RUNS))
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the finished project, as the current folder."""
    place = tmp_path / "project"
    shutil.copytree(finished, place)
    monkeypatch.chdir(place)
    monkeypatch.setattr(keeping, "require_clean", lambda: None)
    return place


def kept(name: str = "two-nodes", variant: str = "accurate") -> Path:
    return artefacts.kept_folder(Path(), "ci", name, variant)


def project(keeping: str = "only") -> Project:
    return Project(Path(), scale="ci", kept=keeping)


@pytest.mark.parametrize("name", RUNS)
def test_kept_results_equal_computed_results_in_single_precision(name: str, folder: Path) -> None:
    computed, restored = (load(project(mode), name, tensors=name == "decision-lines") for mode in ("ignore", "only"))
    single = computed.table.assign(value=computed.table["value"].astype("float32").astype(float))
    pd.testing.assert_frame_equal(restored.table, single)
    assert restored.runs == computed.runs
    assert restored.labels == computed.labels
    assert [variant for variant, _ in restored.manifests] == [variant for variant, _ in computed.manifests]
    for (_, one), (_, other) in zip(restored.manifests, computed.manifests, strict=True):
        assert {**one, "files": 0, "format": 0} == {**other, "files": 0, "format": 0}
    for variant, jobs in computed.tensors.items():
        for job, again in zip(jobs, restored.tensors[variant], strict=True):
            assert job.keys() == again.keys()
            assert all(np.array_equal(job[key], again[key]) for key in job)


def test_a_kept_file_is_checked_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name that a command takes, when it looks for kept results: what is read later is what was checked."""
    checked, sha256 = [], artefacts.sha256
    monkeypatch.setattr(artefacts, "sha256", lambda content: checked.append(content) or sha256(content))
    load(project(), "two-nodes")
    contents = [(kept(variant=variant) / TABLE).read_bytes() for variant in RUNS["two-nodes"]]
    assert [checked.count(content) for content in contents] == [1, 1]


def test_figures_of_kept_results_wait_for_no_job(folder: Path) -> None:
    shutil.rmtree("results")
    plan, wildcards = Plan(project()), type("Wildcards", (), {"experiment": "decision-lines"})
    assert all(path.exists() for path in plan.figure_inputs(wildcards)["tables"])
    targets = {path.stem.split(".")[0] for path in plan.everything()}
    assert targets == {*RUNS, "claims", "index", "report"}
    assert not any("results" in path.parts for path in plan.claims_inputs()["tables"])
    assert all("results" in path.parts for path in Plan(project("ignore")).tables("two-nodes"))
    assert {path.parts[0] for path in Plan(project("use")).tables("two-nodes")} == {"data"}


def test_the_scale_says_what_is_done_with_kept_results() -> None:
    said = {scale: Project(ROOT, scale=scale).keeping for scale in ("ci", "laptop", "paper")}
    assert said == {"ci": "ignore", "laptop": "ignore", "paper": "only"}


def test_a_figure_of_tensors_is_left_out_where_the_tensors_are_not_kept(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(keeping, "TENSORS_LIMIT", 10)
    keeping.keep(project("ignore"), ["decision-lines"])
    assert not any(path.suffix == ".png" and path.stem == "decision-lines" for path in Plan(project()).everything())
    assert is_complete(project(), "decision-lines")
    assert Plan(project("use")).tables("decision-lines", tensors=True)[0].parts[0] == "results"


def test_a_figure_that_compares_variants_is_left_out_where_a_variant_is_not_kept(folder: Path, monkeypatch) -> None:
    described = {name: (kind, Layout(whole=True)) for name, (kind, _) in kinds.layouts().items()}
    monkeypatch.setattr(plan, "layouts", lambda: described)

    def drawn() -> bool:
        return "two-nodes.png" in {path.name for path in Plan(project()).everything()}

    assert drawn()
    shutil.rmtree(kept())
    assert not drawn()


def damage(name: str) -> None:
    """Damage the kept results of two-nodes/accurate in a way."""
    manifest, table = kept() / MANIFEST, kept() / TABLE
    content = Bundle(kept()).manifest()
    match name:
        case "table truncated":
            table.write_bytes(table.read_bytes()[:-9])
        case "table missing":
            table.unlink()
        case "manifest missing":
            manifest.unlink()
        case "manifest altered":
            manifest.write_text(manifest.read_text().replace('"seconds": ', '"seconds": 1'))
        case "manifest truncated":
            manifest.write_bytes(manifest.read_bytes()[:-9])
        case "other settings":
            Bundle(kept()).save({TABLE: table.read_bytes()}, {**content, "config_hash": "0"})
        case "newer format":
            Bundle(kept()).save({TABLE: table.read_bytes()}, {**content, "format": 2})
        case "other seeds":
            Bundle(kept()).save({TABLE: table.read_bytes()}, {**content, "seeds": [99]})
        case "no table":
            Bundle(kept()).save({}, content)
        case "superseded":
            Path(SUPERSEDED).write_text("ci/two-nodes/accurate: samples are drawn otherwise\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("table truncated", r"accurate/table.parquet: is truncated or altered"),
        ("table missing", r"accurate/table.parquet: cannot be read"),
        ("manifest missing", r"accurate/run.json: is missing; compute it with"),
        ("manifest altered", r"accurate/run.json: is damaged"),
        ("manifest truncated", r"accurate/run.json: is damaged"),
        ("other settings", r"accurate: was made with other settings than config/ has"),
        ("newer format", r"accurate: has format 2, this version reads 1; update"),
        ("other seeds", r"accurate: has seeds 99-99, config/ has others"),
        ("no table", r"accurate: has no table"),
        ("superseded", r"accurate: is superseded, samples are drawn otherwise \(data/kept/superseded.yaml\); keep"),
    ],
)
def test_a_fault_is_one_line_and_the_rest_goes_on(name: str, message: str, folder: Path, capsys) -> None:
    damage(name)
    found = project()
    assert list(found.available("two-nodes")) == ["matrix"]
    found.available("two-nodes")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kept results not used: ")
    assert re.search(message, line), line
    assert found.reduced("two-nodes")["of what is kept"] == "without accurate"
    results = load(found, "two-nodes")
    assert set(results.runs) == {"matrix"}
    assert origin(results).startswith("Scale ci (of what is kept: without accurate), 3 seeds.")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ci/two-nodes/exact: why", r"superseded.yaml: ci/two-nodes/exact: no such kept result; remove the entry"),
        ("ci/two-nodes/accurate: 1", r"ci/two-nodes/accurate: must be a text, why the result is superseded, got 1"),
    ],
)
def test_a_wrong_entry_of_what_is_superseded_is_refused(line: str, message: str, folder: Path) -> None:
    Path(SUPERSEDED).write_text(line, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        project()


def test_a_superseded_run_is_kept_again_without_the_entry(folder: Path) -> None:
    damage("superseded")
    with pytest.raises(UserError, match=r"ci/two-nodes/accurate: remove the entry before you keep the run"):
        keeping.keep(project("ignore"), ["two-nodes"])
    Path(SUPERSEDED).unlink()
    keeping.keep(project("ignore"), ["two-nodes"])
    assert set(project().available("two-nodes")) == set(RUNS["two-nodes"])


def test_some_of_the_seeds_may_be_kept_and_are_said(folder: Path) -> None:
    shutil.rmtree(kept())
    keeping.keep(project("ignore"), ["two-nodes/accurate"], [0, 1])
    found, wildcards = project(), type("Wildcards", (), {"experiment": "two-nodes"})
    assert found.available("two-nodes")["accurate"][0].seeds == [0, 1]
    assert found.reduced("two-nodes")["of what is kept"] == "accurate has 2 of 3 seeds"
    results = load(found, "two-nodes")
    assert set(results.table.query("variant == 'accurate'")["seed"]) == {0, 1}
    assert set(results.table.query("variant == 'matrix'")["seed"]) == {0, 1, 2}
    used = Plan(project("use")).figure_inputs(wildcards)["tables"]
    assert {path.parent.name for path in used} == {"matrix", "accurate", "seeds-2-2"}


def test_results_of_the_weights_are_asked_for_by_weights(folder: Path) -> None:
    manifest = Bundle(kept()).manifest()
    jobs = [{**job, "no_weights": "no download"} for job in manifest["jobs"]]
    Bundle(kept()).save({TABLE: (kept() / TABLE).read_bytes()}, {**manifest, "jobs": jobs})
    assert "accurate" in project().available("two-nodes")
    assert "accurate" not in Project(Path(), scale="ci", kept="only", weights="torchvision").available("two-nodes")


@pytest.mark.parametrize(
    ("names", "seeds", "message"),
    [
        (["two-nodes/exact"], None, r"unknown name 'exact'.*allowed: matrix, accurate"),
        (["two-node"], None, r"unknown name 'two-node'"),
        (["two-nodes/accurate"], [0, 3], r"two-nodes/accurate: has no jobs for the seeds 3-3"),
        (["two-nodes", "gradient-rule"], None, r"gradient-rule/base/seeds-0-0/run.json: is missing; make it with"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_written(names, seeds, message, folder: Path) -> None:
    shutil.rmtree("data/kept")
    with pytest.raises(UserError, match=message):
        keeping.keep(project("ignore"), names, seeds)
    assert not Path("data/kept").exists()


def test_results_of_mixed_code_are_not_kept(folder: Path) -> None:
    bundle = Bundle(Path("results/ci/two-nodes/accurate/seeds-1-1"))
    files = {name: bundle.read(name) for name in bundle.manifest()["files"]}
    bundle.save(files, {**bundle.manifest(), "code": {"commit": "another"}})
    with pytest.raises(UserError, match=r"another: two-nodes/accurate"):
        keeping.keep(project("ignore"), ["two-nodes"])


def test_more_than_the_limit_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(path.stat().st_size for path in Path("data/kept").rglob("*.*"))
    monkeypatch.setattr(keeping, "LIMIT", size)
    keeping.keep(project("ignore"), ["two-nodes"])  # the same files again
    monkeypatch.setattr(keeping, "LIMIT", size - 1000)
    with pytest.raises(UserError, match=r"data/kept: would take"):
        keeping.keep(project("ignore"), ["two-nodes"])


def test_a_changed_checkout_keeps_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(keeping, "require_clean", provenance.require_clean)
    monkeypatch.setattr(provenance, "ROOT", folder)
    assert main(["--scale", "ci", "keep", "two-nodes"]) == 2
    assert "is no git checkout" in capsys.readouterr().err


def test_what_is_kept_is_listed_with_the_cost_of_the_rest(folder: Path, capsys) -> None:
    assert main(["--scale", "ci", "--kept", "only", "kept"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("scale ci: 0.0 MB of kept results; `kept` is only")
    assert "two-nodes: kept: matrix 3 seeds, accurate 3 seeds" in lines
    (rest,) = (lines[n + 1] for n, line in enumerate(lines) if line == "gaus-fc: kept: nothing")
    assert "no-bn 2 seeds, bn 2 seeds" in rest
    assert "TFLOP; about 1 min on two cores" in rest
    assert rest.endswith("snakemake --cores 2 --config scale=ci kept=use -- figures/ci/gaus-fc.png")


def test_verify_reads_what_is_kept(folder: Path, capsys) -> None:
    assert main(["--scale", "ci", "verify"]) == 0
    damage("table truncated")
    assert main(["--scale", "ci", "verify"]) == 2
    assert "data/kept/ci/two-nodes/accurate/table.parquet: is truncated or altered" in capsys.readouterr().err
