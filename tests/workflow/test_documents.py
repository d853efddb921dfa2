"""Every command of the documents is run here, or named with where it is run; and what they say of files is true."""

import re
from pathlib import Path

import pytest
from conftest import ROOT, Checkout

from luckmatters.config import Project
from luckmatters.config.project import PUBLISHED_SETTINGS
from luckmatters.experiments_page import page

README = ROOT / "README.md"
# The recipes of docs/extending.md have tests of their own.
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "data/kept/README.md"]
MOST_LINES = 120  # of the README: it fits a page


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def commands(path: Path) -> list[str]:
    """The lines of a document's shell blocks, without remarks."""
    blocks = re.findall(r"```sh\n(.*?)```", text(path), re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


COMMANDS = [command for path in DOCUMENTS if path.name != "extending.md" for command in commands(path)]
ELSEWHERE = {
    "make test": "runs these tests",
    "make check": "runs a part of these tests",
    "make lint": "make test runs it",
    "git clone": "the tests run in copies of a clone",
    "make figures": "the fixture `finished` runs it at ci scale",
    "source .venv/bin/activate": "sets the PATH that the tests set",
    "make benchmark": "takes minutes; its numbers in docs/performance.md came from it",
    "make reference": "keeps numbers; run when they change on purpose",
    "luckmatters reference": "the same; a test keeps the ci scale's",
    "snakemake --cores 2 --config scale=paper device=cuda": "needs a graphics card; a test plans the paper scale",
    "snakemake --cores 2 --config scale=laptop kept=only": "draws for minutes; test_kept draws kept results",
    "make audit": "recomputes for a minute; test_audit runs small audits",
    "luckmatters --scale laptop audit": "the same",
    "make paper": "computes for an hour; its script runs in test_scripts",
    "ruff check": "make test runs it",
    "pytest tests/": "make test runs it",
}
HERE = [command for command in dict.fromkeys(COMMANDS) if not command.startswith(tuple(ELSEWHERE))]


@pytest.mark.parametrize("command", HERE)
def test_a_command_of_the_documents_runs(command: str, finished_copy: Checkout) -> None:
    program, *arguments = command.split()
    if program == "snakemake" and "scale=ci" not in arguments and "-n" not in arguments:
        arguments += ["--config", "scale=ci"]  # the same command, in minutes
    finished_copy.run(program, *arguments)


def test_every_exempt_command_is_in_a_document() -> None:
    for start in ELSEWHERE:
        assert any(command.startswith(start) for command in COMMANDS), f"no document has the command {start!r} any more"


@pytest.mark.parametrize("path", DOCUMENTS, ids=[path.relative_to(ROOT).as_posix() for path in DOCUMENTS])
def test_links_to_files_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", text(path))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_readme_fits_a_page_and_names_every_document() -> None:
    assert len(text(README).splitlines()) <= MOST_LINES
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert {name for name in pages if f"docs/{name})" not in text(README)} == set()


def test_the_page_of_experiments_is_what_the_command_writes() -> None:
    committed = text(ROOT / "docs" / "experiments.md")
    assert committed == page(Project(ROOT, scale=PUBLISHED_SETTINGS)), "luckmatters configuration writes it anew"


def test_the_scripts_of_the_page_on_python_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(ROOT)
    training, reading = re.findall(r"```python\n(.*?)```", text(ROOT / "docs" / "python.md"), re.DOTALL)
    assert len(training.splitlines()) < 25
    assert training.count("samples=10_000") == 1
    exec(training.replace("samples=10_000", "samples=1280"), {})
    first, *_, last = capsys.readouterr().out.splitlines()
    assert float(last.split()[2]) < float(first.split()[2])  # the loss falls
    exec(reading, {})
    assert "mean " in capsys.readouterr().out
