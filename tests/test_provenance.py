"""Where numbers come from."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest
import torch
from conftest import ROOT, Checkout

from luckmatters import dependencies, provenance, reports
from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.science import training


@pytest.mark.parametrize("used", [False, True])
def test_the_graphics_card_is_named_if_it_was_used(used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: used)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "the card")
    assert provenance.provenance().get("card") == ("the card" if used else None)


def test_the_processor_and_the_source_files_are_named() -> None:
    found = provenance.provenance()
    assert found["processor"] == provenance.processor() != ""
    sources = b"".join(path.read_bytes() for path in sorted((ROOT / "src" / "luckmatters").rglob("*.py")))
    assert found["code"]["sources"] == hashlib.sha256(sources).hexdigest()[:12]


# --- the commit ---


def repository(folder: Path) -> str:
    """A new repository with a commit; returns the commit as provenance names it."""
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text("text")
    for command in ("init", "add .", "-c user.name=test -c user.email=test commit --message all", "rev-parse HEAD"):
        done = subprocess.run(["git", *command.split()], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout[:12]


def test_a_checkout_has_the_commit_of_its_own_repository(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = repository(tmp_path)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.commit() == commit
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "new.py").touch()
    assert provenance.commit() == f"{commit}-dirty"


@pytest.mark.parametrize("hook", [False, True])
def test_a_repository_around_the_checkout_does_not_count(tmp_path, hook: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout without git inside a thesis, also where git itself runs the command."""
    repository(tmp_path)
    (tmp_path / "checkout").mkdir()
    (tmp_path / "link").symlink_to("checkout")
    if hook:
        monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    for name in ("checkout", "link"):
        monkeypatch.setattr(provenance, "ROOT", tmp_path / name)
        assert provenance.commit() == "unknown"
        with pytest.raises(UserError, match="is no git checkout"):
            provenance.require_clean()


# --- the package in use ---


def test_the_package_of_another_checkout_is_refused_in_a_line_that_names_both(tmp_path: Path) -> None:
    package = tmp_path / "src" / "luckmatters"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    with pytest.raises(UserError) as error:
        Project(tmp_path)
    assert re.fullmatch(
        rf"{package}: is not the package in use, which is {dependencies.PACKAGE}; install this checkout "
        rf"\(pip install --editable {tmp_path}\), or set PYTHONPATH={package.parent}",
        str(error.value),
    )


def test_a_link_to_the_checkout_and_a_folder_of_settings_alone_are_fine(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(ROOT)
    assert Project(tmp_path / "link").experiments
    (tmp_path / "config").symlink_to(ROOT / "config")
    (tmp_path / "data").symlink_to(ROOT / "data")
    assert Project(tmp_path).experiments


def test_a_command_refuses_a_checkout_of_another_package(checkout: Checkout) -> None:
    done = checkout.run("python", "-m", "luckmatters", "check", status=2, PYTHONPATH=str(ROOT / "src"))
    (line,) = done.stderr.splitlines()
    assert f"{checkout.folder}/src/luckmatters: is not the package in use" in line


# --- sources that change while a job runs ---


def test_code_that_changed_after_its_import_is_named_and_makes_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = dependencies.digest("science.training")
    monkeypatch.setitem(dependencies.SOURCES, Path(training.__file__), b"as it was")
    with pytest.raises(UserError, match=r"src/luckmatters/science/training.py: changed while .* run it again$"):
        provenance.provenance()
    assert dependencies.digest("science.training") != digest  # of what was read at the start, not of the disk


def test_a_figure_of_code_that_changed_is_not_written(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may change while the figure is saved, which takes seconds, after the provenance has been put together."""
    monkeypatch.setitem(dependencies.SOURCES, Path(training.__file__), b"as it was")
    with pytest.raises(UserError, match=r"training.py: changed while"):
        reports._save({tmp_path / "figure.png": b"drawn"}, tmp_path / "figure.json", {})
    assert not list(tmp_path.iterdir())


def test_code_behind_no_number_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    from luckmatters import cli

    monkeypatch.setitem(dependencies.SOURCES, Path(cli.__file__), b"as it was")
    provenance.provenance()


# A job that, after its first checkpoint, does what an editor or a terminal does meanwhile.
MEANWHILE = """
import subprocess, sys
from luckmatters.cli import main
from luckmatters.jobs import checkpoint

saved = checkpoint._save_checkpoint
def save_and_go_on(*arguments):
    saved(*arguments)
    if arguments[1].epoch == 1:
        subprocess.run({command!r}, shell=True, check=True)
checkpoint._save_checkpoint = save_and_go_on
sys.exit(main({arguments!r}))
"""
JOB = ["--scale", "ci", "simulate", "two-nodes", "matrix", "--seeds", "0-0"]


@pytest.fixture
def often(checkout: Checkout) -> Checkout:
    """A committed copy whose jobs save a checkpoint after every epoch."""
    checkout.edit("config/scales/ci.yaml", "checkpoint_seconds: 30.0", "checkpoint_seconds: 0.0")
    checkout.commit()
    return checkout


def test_a_job_whose_code_is_edited_meanwhile_ends_without_a_result_and_starts_anew(often: Checkout) -> None:
    edit = "echo '# edited' >> src/luckmatters/science/dynamics.py"
    done = often.run("python", "-c", MEANWHILE.format(command=edit, arguments=JOB), status=2)
    (line,) = done.stderr.splitlines()
    assert "error: src/luckmatters/science/dynamics.py: changed while this command ran" in line
    (folder,) = often.folder.glob("results/ci/two-nodes/matrix/*")
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    assert not (folder / "run.json").exists()
    done = often.run("python", "-m", "luckmatters", *JOB)
    assert "checkpoint not used: it belongs to other settings, code" in done.stderr
    assert (folder / "run.json").exists()


def test_a_result_bears_the_commit_at_the_start_of_its_job(often: Checkout) -> None:
    from luckmatters.artefacts import Bundle

    commit = often.run("git", "rev-parse", "--short=12", "HEAD").stdout.strip()
    later = "echo >> README.md; git -c user.name=test -c user.email=test commit --quiet --all --message later"
    often.run("python", "-c", MEANWHILE.format(command=later, arguments=JOB))
    assert often.run("git", "rev-parse", "--short=12", "HEAD").stdout.strip() != commit
    (folder,) = often.folder.glob("results/ci/two-nodes/matrix/*")
    assert Bundle(folder).manifest()["code"]["commit"] == commit
