"""Every script in benchmarks/ runs at its smallest size: what they print is read in documents, so they must not rot."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from luckmatters.jobs import device

SCRIPTS = sorted((ROOT / "benchmarks").glob("[!_]*.py"))


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a script would change in this process."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(device, "keep_freed_memory", lambda: None)
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_a_script_runs_at_its_smallest_size(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", [str(script), "--smallest"])
    runpy.run_path(str(script), run_name="__main__")
    assert any(letter.isdigit() for letter in capsys.readouterr().out)  # it has measured something
