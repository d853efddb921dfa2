"""Every script beside the package runs at its smallest size; what documents say of investigations is on record."""

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from luckmatters.jobs import device

INVESTIGATIONS = sorted((ROOT / "investigations").glob("[!_]*.py"))
SCRIPTS = [path for folder in ("benchmarks", "maintenance") for path in sorted((ROOT / folder).glob("[!_]*.py"))]
SCRIPTS += INVESTIGATIONS


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a script would change in this process."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(device, "keep_freed_memory", lambda: None)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_a_script_runs_at_its_smallest_size(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.syspath_prepend(script.parent)
    monkeypatch.setattr(sys, "argv", [str(script), "--smallest"])
    runpy.run_path(str(script), run_name="__main__")
    assert any(letter.isdigit() for letter in capsys.readouterr().out)  # it has measured something


def words(text: str) -> str:
    """A text without its line breaks, and without the marks of comments that continue over them."""
    return re.sub(r"\s*\n[\s#]*|\s+", " ", text)


@pytest.mark.parametrize("script", INVESTIGATIONS, ids=[script.stem for script in INVESTIGATIONS])
def test_an_investigation_names_its_sentence_and_its_output(script: Path) -> None:
    said = words(script.read_text(encoding="utf-8").split('"""')[1])
    sentences = re.findall(r'(\S+\.(?:md|yaml)): "([^"]+)"', said)
    assert sentences
    for document, sentence in sentences:
        assert sentence in words((ROOT / document).read_text(encoding="utf-8")), (
            f"{document} no longer says: {sentence}"
        )
    output = script.with_suffix(".txt")
    assert f"Output: {output.name}." in said if output.exists() else "Output not kept." in said


def test_every_output_has_its_script() -> None:
    outputs = {path.stem for path in (ROOT / "investigations").glob("*.txt")}
    assert outputs <= {path.stem for path in INVESTIGATIONS}
