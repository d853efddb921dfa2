"""The recipes of docs/extending.md, followed to the letter in a private copy."""

import re
import shutil

import pytest
from conftest import ROOT, Checkout

TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
# A line that names a file and ends with a colon, and the text below it.
FILE = re.compile(r"`([\w./-]+\.(?:py|yaml))`[^\n]*:\n\n```(?:python|yaml)\n(.*?)```", re.DOTALL)
# The line below which a text is inserted, where it is not the last of the file.
INSERTED = {"kinds/student_training/settings.py": "    layouts={\n"}
ABLATIONS = "src/luckmatters/kinds/student_training/claims/ablations.py"


def recipe(title: str) -> str:
    """The text below a heading."""
    (text,) = re.findall(rf"^## {title}\n(.*?)(?=^## )", TEXT, re.DOTALL | re.MULTILINE)
    return text


def follow(checkout: Checkout, title: str) -> list[str]:
    """Write what a recipe says; the paths of new files, and of files that were added to."""
    written = []
    for name, content in FILE.findall(recipe(title)):
        folder = "src/luckmatters" if name.startswith(("kinds/", "science/")) else ""
        path = checkout.folder / (folder if "/" in name else "config/experiments") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8") + "\n" if path.exists() else ""
        above = INSERTED.get(name, text)
        assert above in text
        path.write_text(text.replace(above, above + content) if text else content, encoding="utf-8")
        written.append(path.relative_to(checkout.folder).as_posix())
    return written


def luckmatters(checkout: Checkout, *arguments: str, scale: str = "ci", status: int = 0) -> str:
    """What a command says in the copy."""
    done = checkout.run("luckmatters", "--scale", scale, *arguments, status=status)
    return done.stderr if status else done.stdout


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
    assert "fan-in-norms: How much longer" in luckmatters(checkout, "check")
    luckmatters(checkout, "generate-teacher", "gaus-fc-small")
    for variant in ("b64", "b256"):
        luckmatters(checkout, "train", "batch-size", variant)
        luckmatters(checkout, "measure", "fan-in-norms", variant)
    for verb in ("figure", "summary"):
        luckmatters(checkout, verb, "fan-in-norms")
    assert "| norms-grow | **not judged at this scale** |" in luckmatters(checkout, "claims")


def test_a_new_teacher_layout_and_scale_need_an_entry_a_module_and_a_file(checkout: Checkout) -> None:
    """On the scale of the recipe, with the experiment of the new teacher, in either layout."""
    experiment = "config/experiments/deep-teacher.yaml"
    assert follow(checkout, "A new teacher") == ["config/teachers.yaml", experiment]
    assert follow(checkout, "A new scale") == ["config/scales/trial.yaml", experiment]
    folder = "src/luckmatters/kinds/student_training"
    assert follow(checkout, "A new figure layout") == [f"{folder}/figures/loss_curves.py", f"{folder}/settings.py"]
    assert "deep-teacher: Does a fifth layer" in luckmatters(checkout, "check", scale="trial")
    for step in (("generate-teacher", "gaus-fc-deep"), ("train", "deep-teacher", "base"), ("figure", "deep-teacher")):
        luckmatters(checkout, *step, scale="trial")
    figure = checkout.folder / "figures/trial/deep-teacher.png"
    before = figure.read_bytes()
    checkout.edit(experiment, "layout: overlap-curves", "layout: loss-curves")
    luckmatters(checkout, "figure", "deep-teacher", scale="trial")
    assert figure.read_bytes() != before


def test_a_new_branch_needs_a_function(checkout: Checkout) -> None:
    """The tests of the recipe, and the configuration; lottery jobs of other branches run elsewhere."""
    shutil.copytree(ROOT / "tests", checkout.folder / "tests", ignore=shutil.ignore_patterns("__pycache__", "workflow"))
    written = follow(checkout, "A new lottery branch")
    experiment = "config/experiments/lottery-flipped.yaml"
    assert written == ["src/luckmatters/science/tickets.py", "tests/science/test_tickets.py", experiment]
    done = checkout.run("python", "-m", "pytest", "-q", "tests/science/test_tickets.py", "-k", "flipped")
    assert "8 passed" in done.stdout  # four of the recipe, and four that every branch passes
    assert "lottery-flipped: Is it the size" in luckmatters(checkout, "check")
    checkout.edit(experiment, "[rewound, flipped, reinitialized]", "[rewound, fliped, reinitialized]")
    assert "'flipped'" in luckmatters(checkout, "check", status=2)


def test_a_new_claim_needs_an_entry_and_a_function(checkout: Checkout) -> None:
    """The entry is that of the new kind, under the names of the recipe for claims."""
    (evidence,) = re.findall(r"```python\n(.*?)```", recipe("A new claim"), re.DOTALL)
    ((_, entry),) = [part for part in FILE.findall(recipe("A new kind")) if part[0] == "config/claims.yaml"]
    for old, new in (("norms-grow", "bn-helps"), ("grows:", "small:"), ("fan-in-norms", "teacher-size")):
        entry = entry.replace(old, new)
    checkout.append("config/claims.yaml", f"\n{entry}")
    checkout.append(ABLATIONS, f"\n{evidence.replace('EVIDENCE = [', 'EVIDENCE += [')}")
    luckmatters(checkout, "check")
    checkout.edit(ABLATIONS, 'teacher("gaus-fc-small")', 'teacher("gaus-fc-smal")')
    assert "has no variants (teacher gaus-fc-smal, with" in luckmatters(checkout, "check", status=2)


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
    (line,) = luckmatters(checkout, "check", status=2).splitlines()
    assert message in line
