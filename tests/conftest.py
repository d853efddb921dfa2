"""Shared fixtures: a private copy of the checkout, and a way to run its commands."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from filelock import FileLock

if TYPE_CHECKING:
    from luckmatters.report.gather import Material

ROOT = Path(__file__).parents[1]
PARTS = (
    "Snakefile", "Makefile", "workflow", "profiles", "config", "data", "src", "environment.yml",
    "README.md", "docs", ".gitignore",
)  # fmt: skip

torch.set_num_threads(1)


@cache
def forks() -> Path:
    """The folder of the commands that run in forks, served until this process ends."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(ROOT / "tests" / "forks.py"), str(folder)]
    server = subprocess.Popen(command, env={**variables, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE)
    atexit.register(server.terminate)
    assert server.stdout.readline() == b"serving\n"
    return folder


class Checkout:
    """A copy of the project in a separate folder. Commands run there import the copy's package.

    ``luckmatters`` and ``snakemake`` run in forks of a process that has imported the libraries (forks.py), and
    ``python -m luckmatters`` in a process of its own; with `forked` False, all commands do.
    """

    forked = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(
                    source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "downloads")
                )
            else:
                shutil.copy(source, folder / part)

    @classmethod
    def at(cls, folder: Path) -> "Checkout":
        """A copy that is in the folder already."""
        copy = object.__new__(cls)
        copy.folder = folder
        return copy

    def run(self, *command: str, status: int | None = 0, **environment: str) -> subprocess.CompletedProcess:
        """Run a command in the copy; fails unless the command exits with the status (None: any)."""
        places = [str(Path(sys.executable).parent), os.environ["PATH"]]
        if self.forked and command[0] in ("luckmatters", "make", "snakemake"):
            places.insert(0, str(forks()))
        # Synthetic images unless a test says otherwise: results must not depend on images on the machine.
        inherited = {name: value for name, value in os.environ.items() if name != "LUCKMATTERS_CIFAR10"}
        paths = {"PATH": os.pathsep.join(places), "PYTHONPATH": str(self.folder / "src")}
        variables = {**inherited, **paths, **environment}
        done = subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=1200)
        if status is not None:
            assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def commit(self) -> str:
        """Commit everything to a new repository in the copy; returns the commit as provenance names it."""
        self.run("git", "init", "--quiet")
        self.run("git", "add", ".")
        self.run("git", "-c", "user.name=test", "-c", "user.email=test", "commit", "--quiet", "--message", "all")
        return self.run("git", "rev-parse", "--short=12", "HEAD").stdout.strip()

    def snakemake(self, *arguments: str, status: int | None = 0, **environment: str) -> subprocess.CompletedProcess:
        """Run Snakemake; the short timespan spares a small run the wait at its end."""
        options = ("--cores", "2", "--max-jobs-per-timespan", "1000/1s")
        return self.run("snakemake", *options, *arguments, status=status, **environment)

    def planned(self, *arguments: str) -> dict[str, int]:
        """Number of jobs that a dry run plans, by rule."""
        text = self.snakemake("--dry-run", *arguments).stdout
        if "Nothing to be done" in text:
            return {}
        lines = text.split("Job stats:")[1].split("\n\n")[0].splitlines()[3:]
        return {line.split()[0]: int(line.split()[1]) for line in lines if line.split()[0] not in ("all", "total")}

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text in a file of the copy; fails if the file lacks the text."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} does not contain {old!r}"
        path.write_text(text.replace(old, new))

    def append(self, file: str, text: str) -> None:
        """Append a text to a file of the copy."""
        with (self.folder / file).open("a") as opened:
            opened.write(text)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh copy of the project."""
    return Checkout(tmp_path / "checkout")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy in which the whole workflow has run at ci scale. Tests that change files use `finished_copy`.

    Parallel processes share the copy: the first that needs it makes it, with both cores, while the others wait.
    """
    place = tmp_path_factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
    folder = place / "finished" / "checkout"
    with FileLock(place / "finished.lock"):
        if not folder.exists():
            copy = Checkout(place / "making" / "checkout")
            copy.commit()
            # The README's first command, at ci scale, with the environment that the tests run in.
            (copy.folder / ".venv").mkdir()
            (copy.folder / ".venv" / "bin").symlink_to(forks())
            copy.run("make", "--old-file=.venv/installed", "figures", "SCALE=ci", "CORES=2")
            copy.folder.parent.rename(folder.parent)  # a failed run leaves no finished copy
    return Checkout.at(folder)


def _copy(source: str, target: str) -> None:
    """Copy a file. Large files are linked, since the package replaces them whole and never changes them."""
    (os.link if source.endswith(".safetensors") else shutil.copy2)(source, target)


@pytest.fixture
def finished_copy(finished: Checkout, tmp_path: Path) -> Checkout:
    """A private copy of the finished checkout."""
    folder = tmp_path / "checkout"
    shutil.copytree(finished.folder, folder, symlinks=True, copy_function=_copy)
    return Checkout.at(folder)


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "Material"]:
    """A small report, and what it was made of."""
    import website

    from luckmatters.report import pages

    folder = tmp_path_factory.mktemp("report")
    shown = website.material(ROOT, folder)
    for name, content in pages.pages(shown).items():
        path = folder / "report" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / "report", shown


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the whole workflow as slow. ``make check`` leaves them out."""
    for item in items:
        if Path(__file__).with_name("workflow") in item.path.parents:
            item.add_marker("slow")
