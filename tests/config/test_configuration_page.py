"""docs/configuration.md is what `luckmatters configuration` writes, and leaves out no key."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

from luckmatters.cli import main
from luckmatters.config.files import read_yaml
from luckmatters.configuration_page import page
from luckmatters.settings.base import Model

PAGE = ROOT / "docs" / "configuration.md"
TEXT = PAGE.read_text(encoding="utf-8")
TABLE_LINES = [line for line in TEXT.splitlines() if line.startswith("| ")]
# Keys below which so many levels are names that a file's author chooses.
CHOSEN = {"grid": 2, "adjust": 1, "labels": 1, "published": 1, "starts": 1, "scales": 1, "checks": 1, "causes": 2}


def test_the_committed_page_equals_the_generated_page() -> None:
    assert PAGE.read_bytes() == page(ROOT).encode(), "luckmatters configuration writes it anew"


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    for part in ("config", "data/published"):
        shutil.copytree(ROOT / part, tmp_path / part)
    assert main(["--project", str(tmp_path), "configuration"]) == 0
    assert (tmp_path / "docs" / "configuration.md").read_bytes() == PAGE.read_bytes()


def models(base: type[Model] = Model) -> Iterator[type[Model]]:
    """All models of settings, by inheritance."""
    for model in base.__subclasses__():
        yield model
        yield from models(model)


@pytest.mark.parametrize("model", sorted(set(models()), key=str), ids=lambda model: model.__name__)
def test_every_setting_is_described(model: type[Model]) -> None:
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), field.description
    assert "Model" not in (model.__doc__ or "Model"), "a docstring of its own"


def keys(content: object, chosen: int = 0) -> Iterator[str]:
    """The keys in a file's content; chosen: so many levels are names."""
    if isinstance(content, list):
        for one in content:
            yield from keys(one)
    elif isinstance(content, dict):
        for key, value in content.items():
            if not chosen:
                yield key
            yield from keys(value, chosen - 1 if chosen else CHOSEN.get(key, 0))


@pytest.mark.parametrize("path", sorted((ROOT / "config").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_key_of_a_file_is_on_the_page(path: Path) -> None:
    there = {line.split("`")[1] for line in TABLE_LINES if line.startswith("| `")}
    assert set(keys(read_yaml(path), chosen=path.stem in ("teachers", "claims", "published"))) <= there


def test_tables_are_readable() -> None:
    for line in TABLE_LINES:
        cells = re.split(r"(?<!\\)\|", line)[1:-1]
        assert len(cells) == 5, line
        assert all(len(re.sub(r"\]\([^)]*\)", "]", cell)) < 200 for cell in cells), line


def test_links_lead_somewhere() -> None:
    titles = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = ["#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
    assert len(set(anchors)) == len(anchors)
    links = set(re.findall(r"\]\(([^)]+)\)", TEXT))
    assert [link for link in links if link not in anchors and not (PAGE.parent / link).exists()] == []
