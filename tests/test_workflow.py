"""The workflow: what is planned, what is made, what is made again, and what survives a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, Checkout
from PIL import Image

from luckmatters.config import Project

TOY = """
question: Does a new experiment need any code?
published_as: nowhere
kind: student-training
teacher: {name: gaus-fc-small, seed: own}
student: {multiplier: 2, batch_norm: false}
data: {kind: gaus, std: 10.0, samples_per_epoch: 64, infinite: true, evaluation_samples: 64}
training:
  epochs: 3
  batch: 32
  learning_rate: [{epoch: 0, rate: 0.05}]
  snapshots: []
seeds: 2
grid:
  rate:
    slow: {training: {learning_rate: [{epoch: 0, rate: 0.001}]}}
    fast: {}
figure: {layout: overlap-curves}
"""


def add_toy(checkout: Checkout, text: str = TOY) -> None:
    (checkout.folder / "config" / "experiments" / "toy.yaml").write_text(text)


@pytest.mark.parametrize("scale", ["ci", "laptop", "paper"])
def test_a_dry_run_plans_every_experiment_in_under_five_seconds(checkout: Checkout, scale: str) -> None:
    project = Project(ROOT, scale=scale)
    start = time.monotonic()
    planned = checkout.planned("--config", f"scale={scale}")
    assert time.monotonic() - start < 5
    assert planned["draw_figure"] == planned["summarize_experiment"] == len(project.experiments)
    kinds = {"train_students": "student-training", "measure_students": "rank-profile"}
    for rule, kind in kinds.items():
        runs = [run for name in project.experiments for run in project.own_runs(name).values() if run.kind == kind]
        assert planned[rule] == sum(len(project.chunks(run)) for run in runs)


def test_everything_is_made_and_a_second_run_has_nothing_to_do(finished: Checkout) -> None:
    project = Project(ROOT, scale="ci")
    folder = finished.folder / "figures" / "ci"
    names = {f"{name}.{kind}" for name in project.experiments for kind in ("pdf", "png", "json", "csv", "csv.json")}
    assert {path.name for path in folder.iterdir()} == names | {"claims.md", "claims.csv", "claims.json"}
    assert finished.planned("--config", "scale=ci") == {}
    assert "not judged at this scale" in (folder / "claims.md").read_text()


def test_figures_carry_their_provenance(finished: Checkout) -> None:
    folder = finished.folder / "figures" / "ci"
    for name in Project(ROOT, scale="ci").experiments:
        origin = json.loads((folder / f"{name}.json").read_text())
        assert origin["scale"] == "ci"
        assert origin["data"][0].startswith("GAUS, x ~ N(0, 10² I)")
        assert {"code", "libraries", "threads"} <= set(origin["made_with"][0])
        assert all((finished.folder / path).exists() for path in origin["inputs"])
        published = Project(ROOT, scale="ci").experiment(name).figure.published.values()
        assert {f"data/published/{file}" for file in published} <= set(origin["inputs"])
        with Image.open(folder / f"{name}.png") as picture:
            assert json.loads(picture.text["Description"]) == origin
            assert len(picture.convert("L").getcolors()) > 10  # not an empty page
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_summaries_are_the_mean_and_spread_over_seeds(finished: Checkout) -> None:
    summary = pd.read_csv(finished.folder / "figures" / "ci" / "over-param.csv")
    table = pd.read_parquet(finished.folder / "results/ci/over-param/m5-bn/seeds-0-2/table.parquet")
    values = table.query("epoch == 2 and layer == 1 and quantity == 'correlation'")["value"]
    row = summary.query("variant == 'm5-bn' and epoch == 2 and layer == 1 and quantity == 'correlation'").iloc[0]
    assert (row["mean"], row["std"]) == (pytest.approx(values.mean(), rel=1e-5), pytest.approx(values.std(), rel=1e-5))
    assert row["seeds"] == 3


def test_included_variants_are_the_other_experiments_numbers(finished: Checkout) -> None:
    folder = finished.folder / "figures" / "ci"
    own, other = (pd.read_csv(folder / f"{name}.csv") for name in ("gaus-fc", "teacher-size"))
    pd.testing.assert_frame_equal(
        own[own["variant"] == "bn"].drop(columns="variant").reset_index(drop=True),
        other[other["variant"] == "large-bn"].drop(columns="variant").reset_index(drop=True),
    )


CONFIG = ("--config", "scale=ci")


def test_an_edited_layout_redraws_and_trains_nothing(finished_copy: Checkout) -> None:
    finished_copy.append("src/luckmatters/figures/layouts/overlap_grid.py", "\n# edited\n")
    assert finished_copy.planned(*CONFIG) == {"draw_figure": 1}
    finished_copy.append("src/luckmatters/figures/style.py", "\n# edited\n")
    assert finished_copy.planned(*CONFIG) == {"draw_figure": len(Project(ROOT).experiments)}


def test_edited_training_code_trains_again(finished_copy: Checkout) -> None:
    finished_copy.append("src/luckmatters/science/training.py", "\n# edited\n")
    planned = finished_copy.planned(*CONFIG)
    project = Project(ROOT, scale="ci")
    trained = [run for name in project.experiments for run in project.own_runs(name).values() if run.source is None]
    assert planned["train_students"] == len(trained)
    assert "generate_teacher" not in planned


def test_edited_plumbing_and_texts_train_nothing(finished_copy: Checkout) -> None:
    finished_copy.append("src/luckmatters/cli.py", "\n# edited\n")
    finished_copy.append("src/luckmatters/claims/ledger.py", "\n# edited\n")
    finished_copy.edit("config/experiments/gaus-fc.yaml", "question: Do hidden", "question: Is it that hidden")
    assert finished_copy.planned(*CONFIG) == {"judge_claims": 1, "draw_figure": 1, "summarize_experiment": 1}


def test_a_changed_setting_trains_just_its_own_variants(finished_copy: Checkout) -> None:
    finished_copy.edit("config/experiments/over-param.yaml", "multiplier: 5}", "multiplier: 6}")
    planned = finished_copy.planned(*CONFIG)
    assert planned["train_students"] == 2
    assert planned["draw_figure"] == 1


def test_an_altered_table_is_refused_and_the_rule_named(finished_copy: Checkout) -> None:
    table = finished_copy.folder / "results/ci/gaus-fc/bn/seeds-0-1/table.parquet"
    table.write_bytes(table.read_bytes()[:-100])
    done = finished_copy.snakemake("--config", "scale=ci", status=1)
    assert "gaus-fc/bn/seeds-0-1/table.parquet: is truncated or altered" in done.stderr
    assert "let snakemake rerun rule train_students" in done.stderr
    assert "Traceback" not in done.stderr
    for path in table.parent.iterdir():  # the remedy that the message names
        path.unlink()
    finished_copy.snakemake("--config", "scale=ci")
    assert finished_copy.planned(*CONFIG) == {}


def test_results_of_other_settings_are_refused_outside_snakemake_too(finished_copy: Checkout) -> None:
    finished_copy.edit("config/experiments/gaus-fc.yaml", "rate: 0.1}", "rate: 0.2}")
    for verb in (("figure", "gaus-fc"), ("claims",), ("measure", "rank-profile", "bn")):
        done = finished_copy.run("luckmatters", "--scale", "ci", *verb, status=2)
        assert "was made with other settings than config/ has" in done.stderr


def test_a_broken_configuration_stops_snakemake_with_the_same_line(checkout: Checkout) -> None:
    checkout.edit("config/experiments/gaus-fc.yaml", "multiplier: 10", "multiplier: 0")
    done = checkout.snakemake("--config", "scale=ci", status=1)
    assert "student.multiplier: must be greater than 0, got 0" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (checkout.folder / "results").exists()


def test_a_new_experiment_file_yields_a_figure_and_no_other_file_is_edited(finished_copy: Checkout) -> None:
    add_toy(finished_copy)
    assert finished_copy.planned(*CONFIG) == {"train_students": 2, "draw_figure": 1, "summarize_experiment": 1}
    finished_copy.snakemake("--config", "scale=ci")
    summary = pd.read_csv(finished_copy.folder / "figures" / "ci" / "toy.csv")
    assert set(summary["variant"]) == {"slow", "fast"}
    assert (finished_copy.folder / "figures" / "ci" / "toy.pdf").exists()


def read_tables(checkout: Checkout) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in checkout.folder.glob("results/ci/toy/*/*/table.parquet")}


def test_a_killed_run_resumes_and_ends_with_the_undisturbed_numbers(tmp_path: Path) -> None:
    undisturbed, killed = Checkout(tmp_path / "undisturbed"), Checkout(tmp_path / "killed")
    text = TOY.replace("epochs: 3", "epochs: 400").replace("    slow:", "    alone:").replace("    fast: {}\n", "")
    target = "results/ci/toy/alone/seeds-0-1/table.parquet"
    for checkout in (undisturbed, killed):
        add_toy(checkout, text)
        checkout.edit("config/scales/ci.yaml", "checkpoint_seconds: 30.0", "checkpoint_seconds: 0.0")
    undisturbed.snakemake("--config", "scale=ci", "--", target)

    environment = {
        **os.environ,
        "PYTHONPATH": str(killed.folder / "src"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    checkpoint = (killed.folder / target).with_name("checkpoint.json")
    for after in (30, 150):
        process = subprocess.Popen(
            ["snakemake", "--cores", "2", "--nolock", "--config", "scale=ci", "--", target], cwd=killed.folder,
            env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            time.sleep(0.02)
            if checkpoint.exists() and json.loads(checkpoint.read_text())["epoch"] >= after:
                break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert checkpoint.exists()
        assert not (killed.folder / target).exists()
    done = killed.snakemake("--nolock", "--config", "scale=ci", "--", target)
    assert "resuming after epoch" in done.stderr
    assert read_tables(killed) == read_tables(undisturbed)
    left = {path.name for path in (killed.folder / target).parent.iterdir()}
    assert left == {"table.parquet", "tensors.safetensors", "run.json"}


def test_a_damaged_checkpoint_is_not_used(checkout: Checkout) -> None:
    from luckmatters import jobs
    from luckmatters.artefacts import Bundle

    text = TOY.replace("epochs: 3", "epochs: 40")
    add_toy(checkout, text)
    luckmatters = ("python", "-m", "luckmatters", "--scale", "ci")
    checkout.run(*luckmatters, "generate-teacher", "gaus-fc-small")
    folder = checkout.folder / "results/ci/toy/fast/seeds-0-1"
    checkpoint = Bundle(folder, jobs.TRAIN_RULE, "checkpoint.json")
    checkpoint.save({"checkpoint-3.safetensors": b"damaged"}, {"epoch": 3, "file": "checkpoint-3.safetensors"})
    (folder / "checkpoint-3.safetensors").write_bytes(b"truncat")
    done = checkout.run(*luckmatters, "train", "toy", "fast")
    assert "checkpoint not used" in done.stderr
    assert "truncated or altered" in done.stderr
    checkpoint.save({"checkpoint-3.safetensors": b"of another run"}, {"epoch": 3, "file": "checkpoint-3.safetensors"})
    done = checkout.run(*luckmatters, "train", "toy", "fast")
    assert "it belongs to other settings" in done.stderr
    assert not list(folder.glob("checkpoint*"))


def test_the_workflow_runs_in_another_folder(checkout: Checkout, tmp_path: Path) -> None:
    add_toy(checkout)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    checkout.snakemake("--directory", str(elsewhere), "--config", "scale=ci", "--", "figures/ci/toy.png")
    assert (elsewhere / "figures" / "ci" / "toy.png").exists()
    assert not (checkout.folder / "results").exists()
