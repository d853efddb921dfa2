"""Planted bugs: each still applies to the sources, and the document lists each with a test that exists."""

import ast
import re
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "maintenance"))
from mutations import DOCUMENT, Caught, Mutation, mutations, near, page, row, rows

EVERY = {mutation.name: mutation for mutation in mutations()}


@pytest.mark.parametrize("name", EVERY)
def test_a_mutation_applies_exactly_once_and_gives_a_program(name: str) -> None:
    mutation = EVERY[name]
    source = (ROOT / "src" / "luckmatters" / mutation.file).read_text(encoding="utf-8")
    before, after = ast.parse(source), ast.parse(mutation.applied(ROOT))
    assert ast.dump(before) != ast.dump(after)  # more than a comment or a docstring's line break


@pytest.mark.parametrize("old", ["def ", "no such text in this file"])
def test_a_text_that_stands_more_than_once_or_not_at_all_is_refused(old: str) -> None:
    with pytest.raises(
        ValueError, match=r"mutations.yaml: some: the old text stands (0|\d+) times in science/overlap.py"
    ):
        Mutation("some", "", "science/overlap.py", old, "else").applied(ROOT)


def test_the_tests_of_a_module_come_first() -> None:
    files = near(ROOT, EVERY["rank-off-by-one"])
    assert files[0] == "tests/science/test_overlap.py"
    assert all("overlap" in (ROOT / file).read_text(encoding="utf-8") for file in files)
    assert not [file for file in files if "workflow" in file]


def test_tests_that_name_the_changed_function_come_before_the_others() -> None:
    mutation = EVERY["fan-in-for-fan-out"]
    assert mutation.function(ROOT) == "fan_out_norms"
    named = ["fan_out_norms" in (ROOT / file).read_text(encoding="utf-8") for file in near(ROOT, mutation)]
    assert named == sorted(named, reverse=True)
    assert set(named) == {True, False}


def test_the_document_lists_every_mutation_with_a_test_that_exists() -> None:
    found = rows((ROOT / DOCUMENT).read_text(encoding="utf-8"))
    assert [*found] == [*EVERY]
    for name, line in found.items():
        _, _, wrong, planted, caught, words, _, _ = (cell.strip() for cell in line.split("|"))
        assert (wrong, planted.split("]")[0]) == (EVERY[name].wrong, f"[{EVERY[name].file}")
        (file,) = re.findall(r"\(\.\./(tests/.*\.py)\)", caught)
        assert f"def test_{words.replace(' ', '_')}(" in (ROOT / file).read_text(encoding="utf-8"), name


def test_the_document_is_written_from_what_was_caught() -> None:
    one = Mutation("label-leak", "students see labels", "learning/data.py", "", "")
    other = EVERY["rank-off-by-one"]
    lines = {
        one.name: row(Caught(one, "tests/learning/test_x.py", "test_labels_stay_unseen", 3.44)),
        other.name: "| x |",
    }
    assert page(lines).endswith(
        "| `label-leak` | students see labels | [learning/data.py](../src/luckmatters/learning/data.py) "
        "| [learning/test_x.py](../tests/learning/test_x.py) | labels stay unseen | 3.4 |\n| x |\n"
    )
    assert rows(page(lines)) == {one.name: lines[one.name]}
