"""Progress: a bar on a terminal, a line now and then elsewhere."""

import io
import sys

import pytest

from luckmatters import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_progress_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    clock = iter(range(0, 1000, 15))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    assert list(progress.progress("abcd", total=6, done=2, label="gaus-fc/bn")) == list("abcd")
    assert capsys.readouterr().err.splitlines() == ["gaus-fc/bn: 67 %, about 30 s left"]


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress.progress(range(3), total=3, label="gaus-fc/bn")) == [0, 1, 2]
    assert "gaus-fc/bn: 100%" in terminal.getvalue()
