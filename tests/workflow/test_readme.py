"""Every command of the README is run here, or named with where it is run; and what it says of files is true."""

import re

import pytest
from conftest import ROOT, Checkout

from luckmatters.config import Project

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.split("#")[0].strip()
]
ELSEWHERE = {
    "make test": "runs these tests",
    "make figures": "the fixture `finished` runs it at ci scale",
    "source .venv/bin/activate": "sets the PATH that the tests set",
    "conda env create -f environment.yml": "needs conda; a test holds its list and the Makefile's together",
    "conda activate luckmatters": "needs conda",
    "make benchmark": "takes minutes; its numbers in the README came from it",
    "make reference": "keeps numbers; run when they change on purpose",
    "luckmatters reference": "the same; a test keeps the ci scale's",
    "snakemake --cores 2 --config scale=paper device=cuda": "needs a graphics card; a test plans the paper scale",
    "make audit": "recomputes for a minute; test_audit runs small audits",
    "make paper": "computes for an hour; its script runs in test_scripts",
}
HERE = [command for command in dict.fromkeys(COMMANDS) if not command.startswith(tuple(ELSEWHERE))]


@pytest.mark.parametrize("command", HERE)
def test_a_command_of_the_readme_runs(command: str, finished_copy: Checkout) -> None:
    program, *arguments = command.split()
    if program == "snakemake" and "scale=ci" not in arguments and "-n" not in arguments:
        arguments += ["--config", "scale=ci"]  # the same command, in minutes
    finished_copy.run(program, *arguments)


def test_every_exempt_command_is_in_the_readme() -> None:
    for start in ELSEWHERE:
        assert any(command.startswith(start) for command in COMMANDS), f"the README has no command {start!r} any more"


def test_links_to_files_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_experiment_and_claim_is_named() -> None:
    project = Project(ROOT)
    assert [name for name in [*project.experiments, *project.claims] if f"`{name}`" not in README] == []
