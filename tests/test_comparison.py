"""All published curves beside ours: which runs meet which files, with which spread, and what is said of departures."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

from luckmatters import reports
from luckmatters.artefacts import TABLE, sha256
from luckmatters.cli import main
from luckmatters.comparison import compare, summarize
from luckmatters.config import Project
from luckmatters.config.kept import FORMAT, kept_bundle
from luckmatters.errors import UserError
from luckmatters.plan import Plan
from luckmatters.settings.experiment import config_hash
from luckmatters.tables.files import to_parquet
from luckmatters.tables.results import Results

NAMES = {"points": ".csv", "summary": "-summary.csv", "pdf": ".pdf", "png": ".png", "json": ".json"}


def copied(folder: Path, scale: str = "paper") -> Project:
    """A project with the repository's configuration and published curves alone, which keeps no results."""
    for part in ("config", "data/published"):
        shutil.copytree(ROOT / part, folder / part)
    return Project(folder, scale=scale, kept="ignore")


def keep_spread(project: Project, std: float) -> tuple[Project, Path]:
    """Keep two seeds that are so far apart at every level of gaus-fc-bn.csv; the project anew, and the kept table."""
    run = Project(project.root, scale="paper").run("batch-norm-scales", "large-ones")
    rows = file("gaus-fc-bn.csv")[["quantity", "layer", "epoch"]].astype({"layer": "Int64"})
    ends = [rows.assign(seed=seed, value=sign * std / 2**0.5) for seed, sign in ((0, 1), (1, -1))]
    bundle = kept_bundle(project, run)
    manifest = {"format": FORMAT, "config_hash": config_hash(run), "seeds": [0, 1], "jobs": []}
    bundle.save({TABLE: to_parquet(pd.concat(ends, ignore_index=True))}, manifest)
    return Project(project.root, scale=project.scale_name, kept="ignore"), bundle.folder / TABLE


def file(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "data" / "published" / name)


def shifted(project: Project, name: str, shift: float) -> pd.DataFrame:
    """A summary of an experiment whose curves are the published ones, moved by a shift; standard deviation 0.01."""
    curves = [
        file(one).dropna(subset="value").drop(columns="seeds", errors="ignore").assign(variant=variant)
        for variant, one in project.experiment(name).figure.published.items()
    ]
    table = pd.concat(curves)
    return table.assign(mean=table["value"] + shift, std=0.01, seeds=5).drop(columns="value")


def test_a_run_that_several_experiments_show_is_compared_once_under_its_own_name(tmp_path: Path) -> None:
    project = copied(tmp_path)
    names = ["gaus-conv", "gaus-fc", "learning-rate", "over-param", "teacher-size"]
    table = compare(project, {name: shifted(project, name, 0.0) for name in names})
    found = table[["file", "experiment", "variant"]].drop_duplicates().to_numpy().tolist()
    m1, m10, fc = "over-param-m1-no-bn.csv", "over-param-m10-no-bn.csv", "gaus-fc-bn.csv"
    assert sorted(found) == sorted([
        [fc, "gaus-fc", "bn"], ["gaus-conv-bn.csv", "gaus-conv", "conv-bn"],
        [m1, "learning-rate", "lr-005-m1"], [m1, "learning-rate", "lr-007-m1"], [m1, "over-param", "m1-no-bn"],
        [m10, "learning-rate", "lr-005-m10"], [m10, "learning-rate", "lr-007-m10"], [m10, "luck-speed", "base"],
    ])  # fmt: skip
    assert table["departure"].abs().max() < 1e-9
    assert set(summarize(project, table)["coverage"]) == {1}


def test_curves_are_compared_after_as_many_samples(tmp_path: Path) -> None:
    """An epoch of evaluation-size is no published epoch: only the level before training compares."""
    project = copied(tmp_path)
    table = compare(project, {"evaluation-size": shifted(project, "evaluation-size", 0.0)})
    assert set(table["epoch"]) == {0}
    assert set(summarize(project, table)["coverage"]) == {1 / 101}


def test_the_kept_spread_of_teachers_counts_where_each_side_has_one_teacher(tmp_path: Path) -> None:
    project = copied(tmp_path)
    names = ["gaus-fc", "batch-norm-scales"]
    before = compare(project, {name: shifted(project, name, 0.1) for name in names}).set_index("experiment")
    project, _ = keep_spread(project, 0.07)
    after = compare(project, {name: shifted(project, name, 0.1) for name in names}).set_index("experiment")
    reading = after.loc["gaus-fc", "reading"]
    assert before.loc["gaus-fc", "unit"].tolist() == pytest.approx((2 / 5 * 0.01**2 + reading**2) ** 0.5)
    assert after.loc["gaus-fc", "unit"].tolist() == pytest.approx((2 * 0.07**2 + reading**2) ** 0.5)
    assert {*before.loc["gaus-fc", "teachers"]} == {"unknown"}
    assert {*after.loc["gaus-fc", "teachers"]} == {"measured"}
    many = "batch-norm-scales"
    assert after.loc[many, "unit"].tolist() == before.loc[many, "unit"].tolist()
    assert {*after.loc[many, "teachers"]} == {"own"}


def test_only_a_curve_that_departs_has_a_cause(tmp_path: Path) -> None:
    project, names = copied(tmp_path), ["over-param", "gaus-fc", "fan-out-one-hidden"]
    near, far = (
        summarize(project, compare(project, {name: shifted(project, name, shift) for name in names}))
        for shift in (0.0, 0.5)
    )
    assert set(near["cause"]) == {""}
    known = project.published["over-param-m1-no-bn.csv"].causes["over-param/m1-no-bn"]["correlation_192"]
    said = far.set_index("file")["cause"]
    assert set(said["over-param-m1-no-bn.csv"]) == {f"setting: {known.why}"}
    assert set(said["over-param-m10-no-bn.csv"]) == {"not explained yet"}
    believed = project.published["fan-out-one-hidden.csv"].causes["fan-out-one-hidden/m5"]["matched_norm"]
    assert set(said["fan-out-one-hidden.csv"]) == {f"setting: {believed.why}"}
    said = far[far["quantity"] == "correlation_192"].set_index("file")["cause"]
    assert set(said["gaus-fc-bn.csv"]) == {"not explained yet (how far teachers differ is not known)"}


def test_a_curve_departs_below_95_percent_within(tmp_path: Path) -> None:
    project = copied(tmp_path)
    table = compare(project, {"over-param": shifted(project, "over-param", 0.0)})
    table = table[(table["variant"] == "m1-no-bn") & (table["layer"] == 2) & (table["epoch"] <= 40)][:40]
    for beyond, departs in ((2, False), (3, True)):
        table["departure"] = [9.0] * beyond + [0.0] * (40 - beyond)
        assert bool(summarize(project, table)["cause"].iloc[0]) == departs


# --- the verb and the rule -------------------------------------------------------------------------------------------


def results(project: Project, name: str) -> Results:
    """Results of an experiment: two seeds 0.01 above and below the published curves, 40 epochs."""
    table = shifted(project, name, 0.0).query("epoch <= 40").rename(columns={"mean": "value"})
    table = pd.concat([table.assign(seed=seed, value=table["value"] + 0.02 * seed - 0.01) for seed in (0, 1)])
    table = table.drop(columns=["std", "seeds"]).astype({"layer": "Int64"})
    origin = {"data": "made up", "diverged": {}, "code": "a", "python": "b"}
    runs = {variant: run for variant, (run, _) in project.variants(name).items()}
    return Results(
        name, project.experiment(name), "paper", table, runs, {}, [("bn", origin)], {f"results/{name}": "c"}, {}
    )


def test_the_verb_writes_tables_a_picture_and_their_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = copied(tmp_path)
    project, spread = keep_spread(project, 0.05)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reports, "load", results)
    monkeypatch.setattr(reports, "is_complete", lambda project, name: name in ("gaus-fc", "over-param"))
    written = reports.published(project)
    folder = Path("figures/paper")
    assert set(written) == {folder / f"published{NAMES[key]}" for key in NAMES if key != "json"}
    points, curves = (pd.read_csv(folder / f"published{NAMES[key]}") for key in ("points", "summary"))
    assert set(points["experiment"]) == {"gaus-fc", "over-param", "luck-speed"}
    assert len(curves) == 5 + 4 + 4
    assert curves["points"].sum() == len(points)
    assert set(curves["within"]) == {1}
    origin = json.loads((folder / "published.json").read_text())
    assert origin["files"] == {path.name: sha256(path.read_bytes()) for path in written}
    assert origin["inputs"]["data/kept/paper/batch-norm-scales/large-ones/table.parquet"] == sha256(spread.read_bytes())
    assert {"results/gaus-fc", "results/over-param", "config/published.yaml"} < origin["inputs"].keys()
    assert (folder / "published.pdf").read_bytes().startswith(b"%PDF")
    first = {path: path.read_bytes() for path in written}
    reports.published(project)
    assert {path: path.read_bytes() for path in written} == first


@pytest.mark.parametrize("scale", ["ci", "laptop"])
def test_without_finished_curves_the_verb_is_refused(
    scale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--project", str(ROOT), "--scale", scale, "published"]) == 2
    assert f"scale {scale}: there is no finished experiment with published curves" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_default_targets_have_the_comparison_wherever_there_are_published_curves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def targets(scale: str) -> set[str]:
        paths = Plan(Project(ROOT, scale=scale, kept="ignore")).everything()
        return {path.name for path in paths if path.name.startswith("published")}

    assert targets("ci") == targets("laptop") == targets("paper") == {f"published{end}" for end in NAMES.values()}
    monkeypatch.setattr(Project, "compared_experiments", [])
    assert targets("ci") == set()


def test_the_comparison_has_its_inputs(tmp_path: Path) -> None:
    project = copied(tmp_path)
    assert Plan(project).comparison_inputs()["spread"] == []
    project, spread = keep_spread(project, 0.05)
    inputs = Plan(project).comparison_inputs()
    assert inputs["spread"] == [spread]
    assert {path.name for path in inputs["published"]} == set(project.published)
    jobs = set(inputs["tables"])
    for name in ("gaus-fc", "over-param", "finite-data", "fan-out-one-hidden"):
        assert set(Plan(project).tables(name)) <= jobs
    code = {path.stem for path in inputs["code"]}
    assert {"comparison", "summaries", "published", "reading"} <= code


# --- config/published.yaml -------------------------------------------------------------------------------------------


def test_every_curve_has_an_entry_that_agrees_with_its_file() -> None:
    project = Project(ROOT, scale="paper")
    assert {name for one in project.experiments.values() for name in one.figure.published.values()} == set(
        project.published
    )
    for name, source in project.published.items():
        assert set(file(name).get("seeds", [source.seeds])) == {source.seeds}
        assert source.teachers in (1, source.seeds)
        for run in [*([source.spread] if source.spread else []), *source.causes]:
            experiment, variant = run.split("/")
            assert variant in project.own_runs(experiment)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gaus-conv-bn.csv:", "gaus-cnv-bn.csv:", "published.yaml: file: unknown name 'gaus-cnv-bn.csv' .did you mean"),
        ("batch-norm-scales/", "batch-norm-scale/", "gaus-fc-bn.csv: experiment: unknown name 'batch-norm-scale'"),
        ("over-param/m1-no-bn", "over-parm/m1-no-bn", "over-param-m1-no-bn.csv: experiment: unknown name 'over-parm'"),
        ("correlation_192:\n", "correlation:\n", "causes: unknown name 'correlation' .did you mean 'correlation_192'"),
        ("cause: setting", "cause: seting", "must be 'setting', 'definition' or 'finding', got 'seting'"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_runs(tmp_path: Path, old: str, new: str, message: str) -> None:
    copied(tmp_path)
    path = tmp_path / "config" / "published.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        Project(tmp_path)
