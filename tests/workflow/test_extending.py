"""The recipes of docs/extending.md, followed to the letter in a private copy."""

import re

import pytest
from conftest import ROOT, Checkout

TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILE = re.compile(
    r"^(?:At the end of )?`([\w./-]+\.(?:py|yaml))`.*?:\n\n```(?:python|yaml)\n(.*?)```", re.DOTALL | re.MULTILINE
)


def recipe(title: str) -> str:
    """The text below a heading."""
    (text,) = re.findall(rf"^## {title}\n(.*?)(?=^## )", TEXT, re.DOTALL | re.MULTILINE)
    return text


def follow(checkout: Checkout, title: str) -> list[str]:
    """Write what a recipe says; the paths of new files, and of files that were added to."""
    written = []
    for name, content in FILE.findall(recipe(title)):
        path = checkout.folder / ("src/luckmatters" if name.startswith(("kinds/", "science/")) else "") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text(encoding="utf-8") + "\n" if path.exists() else ""
        path.write_text(before + content, encoding="utf-8")
        written.append(path.relative_to(checkout.folder).as_posix())
    return written


def test_a_new_kind_needs_a_folder_a_file_and_an_entry(checkout: Checkout) -> None:
    """With a verb, a figure and a claim, on the runs of the new ablation."""
    assert follow(checkout, "A new ablation") == ["config/experiments/batch-size.yaml"]
    written = follow(checkout, "A new kind")
    package = "src/luckmatters/kinds/fan_in_norms/"
    assert {name for name in written if not name.startswith(package)} == {
        "config/claims.yaml", "config/experiments/fan-in-norms.yaml", "tests/test_fan_in_norms.py",
    }  # fmt: skip
    parts = ("__init__", "settings", "run", "figure", "claims")
    assert {name for name in written if name.startswith(package)} == {f"{package}{part}.py" for part in parts}

    def luckmatters(*arguments: str) -> str:
        return checkout.run("python", "-m", "luckmatters", "--scale", "ci", *arguments).stdout

    assert "fan-in-norms: How much longer" in luckmatters("check")
    luckmatters("generate-teacher", "gaus-fc-small")
    for variant in ("b64", "b256"):
        luckmatters("train", "batch-size", variant)
        luckmatters("measure", "fan-in-norms", variant)
    for verb in ("figure", "summary"):
        luckmatters(verb, "fan-in-norms")
    assert "| norms-grow | **not judged at this scale** |" in luckmatters("claims")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("kinds/fan_in_norms/claims.py", '"norms-grow", "grows"', '"norms-grow", "grow"', "checks: has grows; must be"),
        ("kinds/fan_in_norms/settings.py", 'verb="measure"', 'verb="measures"', "no such verb"),
    ],
)
def test_a_misspelt_name_gives_a_one_line_error(
    checkout: Checkout, file: str, old: str, new: str, message: str
) -> None:
    for title in ("A new ablation", "A new kind"):
        follow(checkout, title)
    checkout.edit(f"src/luckmatters/{file}", old, new)
    done = checkout.run("python", "-m", "luckmatters", "--scale", "ci", "check", status=2)
    (line,) = done.stderr.splitlines()
    assert message in line
