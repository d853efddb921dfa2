"""The command line: what users meet when something is wrong."""

import re

import pytest
from conftest import ROOT, Checkout

from luckmatters.cli import main
from luckmatters.config import Project
from luckmatters.costs import operations


def refused(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """The one line that a refused command leaves."""
    assert main(["--project", str(ROOT), *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("luckmatters: error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scale", "cii", "check"], r"scale: unknown name 'cii' \(did you mean 'ci'\?\); allowed: ci, laptop, paper"),
        (["--device", "tpu", "check"], r"device: must be 'cpu' or 'cuda', got 'tpu'"),
        (["figure", "gaus-cf"], r"experiment: unknown name 'gaus-cf' \(did you mean 'gaus-fc'"),
        (["train", "gaus-fc", "bnn"], r"variant: unknown name 'bnn'.*allowed: no-bn, bn"),
        (["train", "gaus-fc", "bn", "--seeds", "2-1"], r"--seeds 2-1: must be a range"),
        (["train", "gaus-fc", "bn", "--seeds", "0-9"], r"--seeds: gaus-fc/bn at scale laptop has seeds 0-2, not 3-9"),
        (["train", "rank-profile", "bn"], r"rank-profile is of kind rank-profile, whose verb is measure, not train"),
        (["measure", "gaus-fc", "bn"], r"gaus-fc is of kind student-training, whose verb is train, not measure"),
        (["generate-teacher", "large"], r"teacher: unknown name 'large'.*allowed: gaus-fc-large"),
        (["--project", "nowhere", "check"], r"nowhere/config/config.yaml: cannot be read \(No such file"),
    ],
)
def test_a_wrong_argument_gives_a_one_line_error(arguments: list[str], message: str, capsys) -> None:
    assert re.search(message, refused(capsys, *arguments))


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["figure", "gaus-fc"], r"gaus-fc/no-bn/seeds-0-0/run.json: is missing.*rule train_students"),
        (["figure", "rank-profile"], r"rank-profile/no-bn/seeds-0-0/run.json: is missing.*rule measure_students"),
        (["summary", "over-param"], r"run.json: is missing.*rule train_students"),
        (["train", "gaus-fc", "bn"], r"teachers/gaus-fc-large/run.json: is missing.*rule generate_teacher"),
    ],
)
def test_missing_data_names_the_file_and_the_rule(
    arguments: list[str], missing: str, capsys, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert re.search(missing, refused(capsys, *arguments))
    assert not list(tmp_path.iterdir())


def test_cuda_without_a_card_is_refused_before_anything_is_written(
    capsys, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "device: cuda is asked for" in refused(capsys, "--device", "cuda", "train", "gaus-fc", "bn")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_refused(capsys, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").write_text("a file where the folder should be")
    assert "cannot be written" in refused(capsys, "generate-teacher", "gaus-fc-small")


def test_claims_without_results_are_not_run(capsys, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--project", str(ROOT), "claims"]) == 0
    assert "| recovery | **not run** |" in capsys.readouterr().out


def test_check_lists_experiments_and_variants(capsys) -> None:
    assert main(["--project", str(ROOT), "--scale", "paper", "check"]) == 0
    out = capsys.readouterr().out
    assert "gaus-fc: Do hidden student nodes become" in out
    assert "  large-bn: 5 seeds (from gaus-fc/bn)" in out


def test_a_lottery_costs_what_its_branches_and_rounds_train() -> None:
    project = Project(ROOT, scale="paper")
    dense, both = project.run("lottery-dense", "base"), project.run("lottery-curves", "dense")
    assert operations(both) == 2 * operations(dense)  # dense and re-initialized
    weights = project.run("lottery-sparsity", "weights-x1")
    assert operations(weights) == (len(weights.settings.branches) - 1) * operations(dense)  # all but untrained
    once, rounds = (project.run("lottery-sparsity", name) for name in ("contribution-x5", "iterative-x5"))
    branch = operations(once) / (len(once.settings.branches) - 1)
    extra = operations(rounds) - len(rounds.settings.branches) * branch  # two tickets, between 5 and 10 times as wide
    assert 2 * branch < extra < 2 * operations(dense)


def test_each_step_runs_without_snakemake(checkout: Checkout, finished: Checkout) -> None:
    """In a process of its own, whose numbers are those of the workflow's forks to the last bit."""

    def luckmatters(*arguments: str, status: int = 0):
        return checkout.run("python", "-m", "luckmatters", "--scale", "ci", *arguments, status=status)

    luckmatters("generate-teacher", "gaus-fc-large")
    luckmatters("train", "gaus-fc", "no-bn", "--seeds", "0-1")
    luckmatters("train", "gaus-fc", "bn")
    luckmatters("figure", "gaus-fc")
    luckmatters("summary", "gaus-fc")
    made = {path.name for path in (checkout.folder / "figures" / "ci").iterdir()}
    assert made == {f"gaus-fc.{end}" for end in ("pdf", "png", "svg", "json", "csv", "csv.json")}
    tables = [f"results/ci/gaus-fc/{variant}/seeds-0-1/table.parquet" for variant in ("no-bn", "bn")]
    for name in (*tables, "figures/ci/gaus-fc.csv"):
        assert (checkout.folder / name).read_bytes() == (finished.folder / name).read_bytes()
