"""Commands in forks answer like commands in processes of their own; test_cli compares what they compute."""

import pytest
from conftest import Checkout


@pytest.mark.parametrize(
    "command",
    [
        ("luckmatters", "--scale", "ci", "check"),
        ("luckmatters", "train", "gaus-fc", "bnn"),
        ("luckmatters", "tran"),
        ("snakemake", "--quiet", "all", "--config", "scale=cii"),
        ("snakemake", "--version"),
    ],
    ids=" ".join,
)
def test_a_fork_answers_like_a_process(command: tuple[str, ...], checkout: Checkout) -> None:
    answers = []
    for forked in (True, False):
        checkout.forked = forked
        done = checkout.run(*command, status=None)
        answers.append((done.returncode, done.stdout, done.stderr))
    assert answers[0] == answers[1]


def test_a_fork_takes_the_copys_package_as_it_is(checkout: Checkout) -> None:
    for version in ("one", "another"):
        (checkout.folder / "src" / "luckmatters" / "__init__.py").write_text(f'__version__ = "{version}"\n')
        assert checkout.run("luckmatters", "--version").stdout == f"{version}\n"


def test_a_fork_that_fails_says_why(checkout: Checkout) -> None:
    checkout.append("src/luckmatters/cli.py", "\n1 / 0\n")
    done = checkout.run("luckmatters", "check", status=1)
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
