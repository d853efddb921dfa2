"""The workflow: what is planned, what is made, what is made again, and what survives a kill."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, Checkout
from PIL import Image

from luckmatters.artefacts import Bundle, claims_files, comparison_files, sha256, teacher_reference_file
from luckmatters.cifar10 import CLASSES
from luckmatters.config import Project
from luckmatters.jobs.bundles import RULES
from luckmatters.kinds import verb
from luckmatters.plan import Plan

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


def make_images(folder: Path, counts: dict[str, int]) -> Path:
    """A folder of random images in the ten classes."""
    stream = np.random.default_rng(0)
    for part, count in counts.items():
        for name in CLASSES:
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = stream.integers(256, size=(32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number:04}.png")
    return folder


KINDS = ("pdf", "png", "svg", "json", "csv", "csv.json")  # files of an experiment


def add_toy(checkout: Checkout, text: str = TOY) -> None:
    (checkout.folder / "config" / "experiments" / "toy.yaml").write_text(text)


@pytest.mark.parametrize("scale", ["ci", "laptop", "paper"])
def test_a_dry_run_plans_every_experiment_in_seconds(checkout: Checkout, scale: str) -> None:
    """Five; on a slow machine six times the start of Snakemake itself (measured: 4.1 times at the paper scale)."""

    def timed(run: Callable[[], object]) -> tuple[float, object]:
        start = time.monotonic()
        found = run()
        return time.monotonic() - start, found

    checkout.forked = False  # the start counts
    project, taken = Project(ROOT, scale=scale), []
    limit = max(5.0, 6 * min(timed(lambda: checkout.run("snakemake", "--version"))[0] for _ in range(2)))
    while not taken or (min(taken) >= limit and len(taken) < 3):  # other work on the machine only adds time
        seconds, planned = timed(lambda: checkout.planned("--config", f"scale={scale}", "kept=ignore"))
        taken.append(seconds)
    assert min(taken) < limit
    assert planned["draw_figure"] == planned["summarize_experiment"] == len(project.experiments)
    # The workflow has the rules that errors name, and each runs the jobs of its verb.
    shown = {
        "draw_figure",
        "draw_animation",
        "summarize_experiment",
        "compare_published",
        "judge_claims",
        "write_report",
    }
    assert planned.keys() - shown == set(RULES.values())
    runs = [run for name in project.experiments for run in project.own_runs(name).values()]
    jobs = Counter(RULES[verb(run)] for run in runs for _ in project.chunks(run))
    assert planned.items() >= jobs.items()


def test_everything_is_made_and_a_second_run_has_nothing_to_do(finished: Checkout) -> None:
    project = Project(ROOT, scale="ci")
    folder = finished.folder / "figures" / "ci"
    names = {f"{name}.{kind}" for name in project.experiments for kind in KINDS}
    names |= {"report", "report.json"}
    names |= {f"{name}.{kind}" for name in Plan(project).animated for kind in ("gif", "gif.json")}
    names |= {path.name for path in (*claims_files(folder).values(), *comparison_files(folder).values())}
    assert {path.name for path in folder.iterdir()} == names
    assert finished.planned("--config", "scale=ci") == {}
    assert "not judged at this scale" in (folder / "claims.md").read_text()


def test_figures_carry_their_provenance(finished: Checkout) -> None:
    folder = finished.folder / "figures" / "ci"
    for name in Project(ROOT, scale="ci").experiments:
        origin = Bundle(folder, f"{name}.json").manifest()
        assert origin["scale"] == "ci"
        gaus, images = "GAUS, x ~ N(0, ", "synthetic images, not CIFAR-10 (2,000 + 400 images)"
        known = images if "cifar" in name else (gaus, images, "x ~ N(0, ", "published numbers of ", "efficientnet_lite")
        assert all(data.startswith(known) for data in origin["data"])
        assert {"code", "libraries", "threads", "processor"} <= set(origin["made_with"][0])
        assert all((finished.folder / path).exists() for path in origin["inputs"])
        published = Project(ROOT, scale="ci").experiment(name).figure.published.values()
        assert {f"data/published/{file}" for file in published} <= set(origin["inputs"])
        with Image.open(folder / f"{name}.png") as picture:
            assert {**json.loads(picture.text["Description"]), "files": origin["files"]} == origin
            assert len(picture.convert("L").getcolors()) > 10  # not an empty page
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_animations_have_a_frame_an_epoch_and_their_provenance(finished: Checkout) -> None:
    project = Project(ROOT, scale="ci")
    assert Plan(project).animated
    for name in Plan(project).animated:
        path = finished.folder / "figures" / "ci" / f"{name}.gif"
        frames = min(run.settings.epochs for run, _ in project.variants(name).values()) + 1
        with Image.open(path) as picture:
            assert picture.n_frames == frames
            first = picture.convert("L").tobytes()
            picture.seek(frames - 1)
            assert picture.convert("L").tobytes() != first
        origin = json.loads(path.with_suffix(".gif.json").read_text())
        assert list(origin["files"]) == [path.name]
        assert origin["scale"] == "ci"
    done = finished.run("luckmatters", "--scale", "ci", "animation", "gaus-fc", status=2)
    assert "layout overlap-curves has no animation" in done.stderr


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


def test_an_edited_layout_redraws_without_training(finished_copy: Checkout) -> None:
    finished_copy.append("src/luckmatters/kinds/student_training/figures/overlap_grid.py", "\n# edited\n")
    project = Project(ROOT)
    grids = [one for one in project.experiments.values() if one.figure.layout == "overlap-grid"]
    assert finished_copy.planned(*CONFIG) == {"draw_figure": len(grids), "write_report": 1}
    finished_copy.append("src/luckmatters/drawing/style.py", "\n# edited\n")
    expected = {"draw_figure": len(project.experiments), "draw_animation": len(Plan(project).animated)}
    assert finished_copy.planned(*CONFIG) == expected | {"compare_published": 1, "write_report": 1}


def test_edited_training_code_trains_again(finished_copy: Checkout) -> None:
    finished_copy.append("src/luckmatters/science/training.py", "\n# edited\n")
    planned = finished_copy.planned(*CONFIG)
    project = Project(ROOT, scale="ci")
    trained = [run for name in project.experiments for run in project.own_runs(name).values() if verb(run) == "train"]
    assert planned["train_students"] == sum(len(project.chunks(run)) for run in trained)
    assert planned["train_teacher"] == sum(one.init == "trained" for one in project.teachers.values())
    assert not {"generate_teacher", "prepare_cifar10"} & set(planned)


def test_edits_of_untracked_code_and_texts_do_not_train(finished_copy: Checkout) -> None:
    finished_copy.append("src/luckmatters/cli.py", "\n# edited\n")
    finished_copy.append("src/luckmatters/ledger.py", "\n# edited\n")
    finished_copy.edit("config/experiments/gaus-fc.yaml", "question: Do hidden", "question: Is it that hidden")
    made = ("judge_claims", "draw_figure", "summarize_experiment", "write_report")
    assert finished_copy.planned(*CONFIG) == dict.fromkeys(made, 1)


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
    command = "snakemake --cores 1 results/ci/gaus-fc/bn/seeds-0-1/run.json --config scale=ci"
    assert f"make it with: {command} (rule train_students)" in done.stderr
    assert "Traceback" not in done.stderr
    for path in table.parent.iterdir():  # the remedy that the message names
        path.unlink()
    finished_copy.snakemake("--config", "scale=ci")
    assert finished_copy.planned(*CONFIG) == {}


def test_a_damaged_image_cache_is_noticed_and_made_again_by_the_next_run(finished_copy: Checkout) -> None:
    cache = finished_copy.folder / "results/ci/datasets/cifar10/tensors.safetensors"
    content = cache.read_bytes()[:-1]
    cache.unlink()  # linked to the other copy's
    cache.write_bytes(content)
    target = "results/ci/teachers/cifar-fc/run.json"
    done = finished_copy.snakemake(*CONFIG, "--", target, status=1)
    assert "datasets/cifar10/tensors.safetensors: is truncated or altered, and has been removed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not cache.exists()
    finished_copy.snakemake(*CONFIG, "--", target)
    assert (finished_copy.folder / target).exists()
    assert len(cache.read_bytes()) == len(content) + 1


def test_without_images_and_network_the_other_results_are_made(checkout: Checkout) -> None:
    add_toy(checkout)
    checkout.edit("config/scales/ci.yaml", "cifar10_default: synthetic", "cifar10_default: torchvision")
    proxies = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")  # nobody answers there
    targets = ("figures/ci/cifar-fc.png", "figures/ci/toy.png")
    done = checkout.snakemake(*CONFIG, "--", *targets, status=1, **proxies)
    assert "CIFAR-10 cannot be downloaded" in done.stderr
    assert "set LUCKMATTERS_CIFAR10 to a folder or zip of images or to a torchvision root" in done.stderr
    assert "Traceback" not in done.stderr
    assert (checkout.folder / targets[1]).exists()
    assert not (checkout.folder / targets[0]).exists()
    assert not (checkout.folder / "results/ci/datasets").exists()


def test_images_of_a_source_are_used_and_named(checkout: Checkout, tmp_path: Path) -> None:
    """The machine's own source, if it has one, else a folder made here."""
    source = os.environ.get("LUCKMATTERS_CIFAR10") or make_images(tmp_path / "pictures", {"train": 60, "test": 20})
    checkout.snakemake(*CONFIG, "--", "figures/ci/cifar-fc.json", LUCKMATTERS_CIFAR10=str(source))
    data = json.loads((checkout.folder / "figures/ci/cifar-fc.json").read_text())["data"]
    assert all(one.startswith("CIFAR-10, ") for one in data)
    teacher = json.loads((checkout.folder / "results/ci/teachers/cifar-fc/run.json").read_text())
    table = pd.read_parquet(checkout.folder / "results/ci/teachers/cifar-fc/table.parquet")
    final = table.query("quantity == 'accuracy' and epoch == 2")["value"].tolist()
    assert teacher["test_accuracy"] == final
    # What was planned with a source is done when the source is gone; only synthetic images would be another plan.
    checkout.edit("config/scales/ci.yaml", "cifar10_default: synthetic", "cifar10_default: torchvision")
    assert checkout.planned(*CONFIG, "--", "figures/ci/cifar-fc.json") == {}


def test_verify_notices_any_altered_file(finished_copy: Checkout) -> None:
    done = finished_copy.run("luckmatters", "--scale", "ci", "verify")
    assert re.fullmatch(r"\d{3,4} files of scale ci are as they were made\n", done.stdout)
    for file, fault, culprit in (
        ("figures/ci/claims.csv", "truncated or altered", "figures/ci/claims.json"),
        ("figures/ci/gaus-fc.png", "truncated or altered", "figures/ci/gaus-fc.json"),
        ("figures/ci/gaus-fc.json", "damaged", "figures/ci/gaus-fc.json"),
        ("results/ci/gaus-fc/bn/seeds-0-1/run.json", "damaged", "results/ci/gaus-fc/bn/seeds-0-1"),
    ):
        path = finished_copy.folder / file
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        done = finished_copy.run("luckmatters", "--scale", "ci", "verify", status=2)
        (line,) = done.stderr.splitlines()
        assert f"{file}: is {fault}" in line
        assert f"delete {culprit}; make it again with: snakemake --cores 1 --config scale=ci" in line
        path.write_bytes(content)


def test_a_teacher_trained_on_other_images_is_refused(finished_copy: Checkout) -> None:
    teacher = Bundle(finished_copy.folder / "results/ci/teachers/cifar-fc")
    files = {name: teacher.read(name) for name in teacher.manifest()["files"]}
    teacher.save(files, {**teacher.manifest(), "inputs": {"datasets/cifar10": "0"}})
    done = finished_copy.run("luckmatters", "--scale", "ci", "train", "cifar-fc", "bn", status=2)
    assert "was trained on other images than results/ci/datasets/cifar10 holds" in done.stderr


def test_verifying_without_results_fails(checkout: Checkout) -> None:
    done = checkout.run("luckmatters", "--scale", "ci", "verify", status=2)
    assert "hold no results to verify" in done.stderr


def test_too_few_images_give_a_one_line_error(finished_copy: Checkout) -> None:
    finished_copy.edit("config/experiments/cifar-fc.yaml", "evaluation_samples: 100}", "evaluation_samples: 500}")
    done = finished_copy.run("luckmatters", "--scale", "ci", "train", "cifar-fc", "bn", status=2)
    assert "500 evaluation images are asked for, but there are 400; lower samples_per_epoch or" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_edited_decoder_reads_the_images_again(finished_copy: Checkout) -> None:
    finished_copy.append("src/luckmatters/cifar10/folder.py", "\n# edited\n")
    assert finished_copy.planned(*CONFIG)["prepare_cifar10"] == 1


def test_results_of_other_settings_are_refused_outside_snakemake_too(finished_copy: Checkout) -> None:
    finished_copy.edit("config/experiments/gaus-fc.yaml", "rate: 0.1}", "rate: 0.2}")
    for step in (("figure", "gaus-fc"), ("claims",), ("measure", "rank-profile", "bn")):
        done = finished_copy.run("luckmatters", "--scale", "ci", *step, status=2)
        assert "was made with other settings than config/ has" in done.stderr


def test_a_trained_teacher_is_kept_with_its_table_and_provenance(finished_copy: Checkout) -> None:
    keep = ("luckmatters", "--scale", "ci", "reference-teacher")
    finished_copy.run(*keep, "cifar-fc")
    path = finished_copy.folder / teacher_reference_file("ci", "cifar-fc")
    table, origin = pd.read_csv(path), json.loads(path.with_suffix(".json").read_text())
    results = Bundle(finished_copy.folder / "results/ci/teachers/cifar-fc")
    trained, networks = results.manifest(), path.with_suffix(".safetensors")
    assert table.groupby("quantity").size().to_dict() == {"accuracy": 3, "loss": 3}  # before, and after either epoch
    assert table.query("quantity == 'accuracy' and epoch == 2")["value"].tolist() == trained["test_accuracy"]
    assert origin["teacher_files"] == trained["files"]
    assert networks.read_bytes() == results.read("tensors.safetensors")
    assert {**origin, "files": trained["files"]}.items() >= trained.items()
    assert origin["published_accuracy"] == 0.5495
    assert origin["files"] == {file.name: sha256(file.read_bytes()) for file in (path, networks)}
    assert "only trained ones" in finished_copy.run(*keep, "gaus-fc-large", status=2).stderr
    finished_copy.edit("config/teachers.yaml", "      widths: [10, 15, 20, 25]", "      widths: [10, 15, 20, 24]")
    assert "made with other settings" in finished_copy.run(*keep, "cifar-fc", status=2).stderr


def test_a_broken_configuration_stops_snakemake_with_the_same_line(checkout: Checkout) -> None:
    checkout.edit("config/experiments/gaus-fc.yaml", "multiplier: 10", "multiplier: 0")
    done = checkout.snakemake("--config", "scale=ci", status=1)
    assert "student.multiplier: must be greater than 0, got 0" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (checkout.folder / "results").exists()


def test_a_new_experiment_file_yields_a_figure_and_no_other_file_is_edited(finished_copy: Checkout) -> None:
    add_toy(finished_copy)
    shown = dict.fromkeys(("draw_figure", "summarize_experiment", "write_report"), 1)
    assert finished_copy.planned(*CONFIG) == {"train_students": 2, **shown}
    finished_copy.snakemake("--config", "scale=ci")
    summary = pd.read_csv(finished_copy.folder / "figures" / "ci" / "toy.csv")
    assert set(summary["variant"]) == {"slow", "fast"}
    assert (finished_copy.folder / "figures" / "ci" / "toy.pdf").exists()


def read_tables(checkout: Checkout) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in checkout.folder.glob("results/ci/toy/*/*/table.parquet")}


def test_a_killed_run_resumes_and_ends_with_the_numbers_of_an_uninterrupted_run(tmp_path: Path) -> None:
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


def test_a_teachers_training_resumes_too(checkout: Checkout) -> None:
    luckmatters = ("luckmatters", "--scale", "ci")
    checkout.edit("config/scales/ci.yaml", "checkpoint_seconds: 30.0", "checkpoint_seconds: 0.0")
    checkout.run(*luckmatters, "prepare-cifar10")
    checkout.run(*luckmatters, "train-teacher", "cifar-fc")
    folder = checkout.folder / "results/ci/teachers/cifar-fc"
    expected = {name: (folder / name).read_bytes() for name in ("table.parquet", "tensors.safetensors")}
    # As if killed after the first epoch: the checkpoint is there, the result is not.
    program = """
import sys
from pathlib import Path
from luckmatters.jobs import checkpoint, verbs
from luckmatters.config import Project

saved = checkpoint._save_checkpoint
def save_and_die(*arguments):
    saved(*arguments)
    if arguments[1].epoch == 1:
        sys.exit(9)
checkpoint._save_checkpoint = save_and_die
verbs.train_teacher(Project(Path(), scale="ci"), "cifar-fc")
"""
    for path in folder.iterdir():
        path.unlink()
    checkout.run("python", "-c", program, status=9)
    checkpoint = Bundle(folder, "checkpoint.json")
    written = checkpoint.manifest()
    assert 0 < written["seconds"] < 100
    checkpoint.save({written["file"]: checkpoint.read(written["file"])}, {**written, "seconds": 1000.0})
    done = checkout.run(*luckmatters, "train-teacher", "cifar-fc")
    assert "resuming after epoch 1" in done.stderr
    assert {name: (folder / name).read_bytes() for name in expected} == expected
    assert 1000 <= json.loads((folder / "run.json").read_text())["seconds"] < 1100


def test_a_damaged_checkpoint_is_not_used(checkout: Checkout) -> None:
    text = TOY.replace("epochs: 3", "epochs: 40")
    add_toy(checkout, text)
    luckmatters = ("luckmatters", "--scale", "ci")
    checkout.run(*luckmatters, "generate-teacher", "gaus-fc-small")
    folder = checkout.folder / "results/ci/toy/fast/seeds-0-1"
    checkpoint = Bundle(folder, "checkpoint.json")
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
