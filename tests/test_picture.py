"""The picture of the house shows the imports that there are: read here once more, by the tests' own reader."""

import re
import runpy
from functools import cache
from pathlib import Path

from conftest import ROOT
from test_house import MODULES, imported

SVG, ARROW = ROOT / "docs" / "house.svg", r'id="(\w+)--(\w+)"'
DRAWN = set(re.findall(ARROW, SVG.read_text(encoding="utf-8")))
AGAIN = "run python docs/house.py, and look at docs/house.svg"


@cache
def rooms() -> set[tuple[str, str]]:
    """Which room imports which, by their names in the picture."""
    name = runpy.run_path(str(ROOT / "docs" / "house.py"))["room"]
    pairs = {(name(module), name(other)) for module, path in MODULES.items() for other in imported(path)}
    return {(one, other) for one, other in pairs if one != other and not {one, other} & {"__init__", "__main__"}}


@cache
def reached(room: str) -> set[str]:
    """All rooms that the picture's arrows lead to."""
    found = {other for one, other in DRAWN if one == room}
    return found.union(*map(reached, found))


def test_every_arrow_is_an_import_and_every_import_follows_arrows() -> None:
    assert DRAWN
    assert rooms() >= DRAWN, AGAIN
    assert {(one, other) for one, other in rooms() if other not in reached(one)} == set(), AGAIN


def test_no_arrow_is_implied_by_others() -> None:
    for one, other in DRAWN:
        others = {through for room, through in DRAWN if room == one} - {other}
        assert other not in set().union(*map(reached, others)), (one, other)


def test_the_script_draws_the_committed_picture(tmp_path: Path) -> None:
    runpy.run_path(str(ROOT / "docs" / "house.py"))["main"](tmp_path / "house.svg")
    new, committed = (path.read_text(encoding="utf-8") for path in (tmp_path / "house.svg", SVG))
    for pattern in (ARROW, r">([^<]+)</text>", r'<path d="([^"]+)"'):
        assert re.findall(pattern, new) == re.findall(pattern, committed), AGAIN
