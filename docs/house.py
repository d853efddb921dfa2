"""Draw the rooms of the package and what they import: docs/house.svg, from the source files alone.

    python docs/house.py [docs/house.svg]

A room is a package or a module directly below src/luckmatters. An arrow means "imports", and all arrows point down.
Arrows that follow from others are left out: where a imports b and c, and b imports c, there is no arrow from a to c.
"""

import ast
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

PACKAGE = Path(__file__).parents[1] / "src" / "luckmatters"
# Small modules that share a room: tools import nothing but each other, sources are what jobs read from outside, the
# ledger holds what is concluded from all experiments.
SHARED = {
    "tools": ("artefacts", "dependencies", "downloads", "errors", "progress", "provenance", "torchvision_shim"),
    "sources": ("cifar10", "pretrained"),
    "ledger": ("ledger", "comparison"),
    "documents": ("findings", "configuration_page", "experiments_page", "markdown", "report"),
    "reports": ("reports", "keeping"),
    "plan": ("plan", "costs"),
    "checks": ("regression", "audit"),
}
ENTRANCES = ("__init__", "__main__")  # the version, and a door to cli


@dataclass(frozen=True)
class Place:
    """Where a room is drawn: its row, counted from the ground, its left and right end, and what is said of it."""

    row: int
    left: float
    right: float
    text: str = ""


PLACES = {
    "science": Place(0, -1.4, 9.0, "tensors: networks, teachers, data, training, overlap, pruning"),
    "tools": Place(1, 4.1, 7.7, "\n".join(" · ".join(part) for part in (SHARED["tools"][:4], SHARED["tools"][4:]))),
    "settings": Place(2, -1.4, 3.7, "what YAML may say, in models that kinds share"),
    "tables": Place(3, -1.4, 3.7, "columns, rows, histories, results"),
    "learning": Place(4, 0.0, 1.6, "students of a run"),
    "judging": Place(4, 1.9, 4.9, "effects, intervals"),
    "drawing": Place(5, 0.0, 2.9, "colours, panels"),
    "kinds": Place(6, 0.0, 4.9, "a folder each: settings · run · figure · claims"),
    "config": Place(7, 1.2, 5.2, "files, checked and resolved"),
    "sources": Place(7, 6.6, 9.0, " · ".join(SHARED["sources"])),
    "jobs": Place(8, 3.3, 9.0, "verbs that compute, inputs, checkpoints, bundles"),
    "plan": Place(9, 6.1, 7.4, "what rules make; costs"),
    "ledger": Place(10, 1.2, 4.2, "verdicts · comparison"),
    "reading": Place(10, 4.4, 6.0, "finished runs"),
    "checks": Place(10, 6.5, 9.0, "the same numbers? " + " · ".join(SHARED["checks"])),
    "documents": Place(12, 1.2, 6.0, "written from results"),
    "reports": Place(11, 1.2, 6.9, "figures, tables, checks · what is kept"),
    "cli": Place(13, 0.0, 9.0, "one verb a step"),
}
# Names of floors, by their lowest row.
FLOORS = {
    0: "1  tensors\n    and tools", 2: "2  settings", 3: "3  what\n    kinds share", 6: "4  kinds",
    7: "5  config\n    and sources", 8: "6  plan\n    and jobs",
    10: "7  what reads\n    results", 13: "8  command\n    line",
}  # fmt: skip
HEIGHT, GAP = 0.68, 0.38  # of a room, and between two rows
LEFT, RIGHT = -3.3, 9.2  # ends of the floors


def room(module: str) -> str:
    """The room of a module (``science.training``)."""
    first = module.split(".")[0]
    return next((name for name, modules in SHARED.items() if first in modules), first)


def imports() -> dict[str, set[str]]:
    """The other rooms that each room imports; imports for type checkers alone do not count."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        name = room(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
        if name not in ENTRANCES:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found.setdefault(name, set()).update(map(room, _imported(tree)))
    return {name: others & found.keys() - {name} for name, others in found.items()}


def _imported(node: ast.AST) -> list[str]:
    """The modules below the package that a piece of source imports, at any depth."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return []
    if isinstance(node, ast.ImportFrom) and node.module == "luckmatters":
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module.startswith("luckmatters."):
        return [node.module.removeprefix("luckmatters.")]
    return [name for child in ast.iter_child_nodes(node) for name in _imported(child)]


def below(name: str, graph: dict[str, set[str]]) -> set[str]:
    """All rooms that a room imports, directly or through others."""
    return graph[name].union(*(below(other, graph) for other in graph[name]))


def arrows() -> set[tuple[str, str]]:
    """The imports that do not follow from others, (upper room, lower room)."""
    graph = imports()
    implied = {name: set().union(*(below(other, graph) for other in others)) for name, others in graph.items()}
    return {(name, other) for name, others in graph.items() for other in others - implied[name]}


def lane(upper: Place, lower: Place) -> float:
    """Where an arrow can go straight down between two rooms. Raises ValueError if a third room is in every way."""
    low, high = max(upper.left, lower.left), min(upper.right, lower.right)
    for place in sorted(PLACES.values(), key=lambda one: one.left):
        if lower.row < place.row < upper.row and place.left < high and place.right > low:
            low, high = (place.right, high) if place.left <= low else (low, place.left)
    if high - low < 0.1 or upper.row <= lower.row:
        raise ValueError(f"no way down from {upper} to {lower}; give the rooms other places")
    return (low + high) / 2


def picture() -> Figure:
    """The house; raises KeyError for a room without a place."""
    if missing := imports().keys() - PLACES.keys():
        raise KeyError(f"give {', '.join(sorted(missing))} a place in PLACES")
    top = (max(place.row for place in PLACES.values()) + 1) * (HEIGHT + GAP)
    figure = plt.figure(figsize=(RIGHT - LEFT, top))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(LEFT, RIGHT), ylim=(-GAP / 2, top - GAP / 2))
    axes.axis("off")
    starts = [*FLOORS, top / (HEIGHT + GAP)]
    for number, (start, end) in enumerate(itertools.pairwise(starts)):
        bottom, ceiling = (row * (HEIGHT + GAP) - GAP / 2 for row in (start, end))
        axes.axhspan(bottom, ceiling, color="#f1f4f7" if number % 2 else "#e4eaf0", lw=0, zorder=0)
        axes.text(LEFT + 0.1, (bottom + ceiling) / 2, FLOORS[start], va="center", fontsize=9.5, color="0.25")
    for name, place in PLACES.items():
        bottom, middle = place.row * (HEIGHT + GAP), (place.left + place.right) / 2
        box = FancyBboxPatch(
            (place.left, bottom), place.right - place.left, HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.08", fc="white", ec="0.35", lw=1, zorder=2,
        )  # fmt: skip
        axes.add_patch(box)
        lines = place.text.count("\n") + bool(place.text)
        head = bottom + HEIGHT * {0: 0.5, 1: 0.68, 2: 0.8}[lines]
        axes.text(middle, head, name, ha="center", va="center", fontsize=10.5, weight="bold", zorder=3)
        if lines:
            foot = bottom + HEIGHT * {1: 0.3, 2: 0.33}[lines]
            axes.text(middle, foot, place.text, ha="center", va="center", fontsize=8, color="0.25", zorder=3)
    for upper, lower in sorted(arrows()):
        above, under = PLACES[upper], PLACES[lower]
        x = lane(above, under)
        ends = (x, above.row * (HEIGHT + GAP)), (x, under.row * (HEIGHT + GAP) + HEIGHT)
        arrow = FancyArrowPatch(
            *ends, arrowstyle="-|>", mutation_scale=11, lw=1.1, color="#0b5c8a", shrinkA=0, shrinkB=0, zorder=1
        )
        arrow.set_gid(f"{upper}--{lower}")
        axes.add_patch(arrow)
    return figure


def main(path: Path) -> None:
    """Write the picture; the same imports give the same bytes."""
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "luckmatters", "font.family": "sans-serif"}):
        picture().savefig(path, metadata={"Date": None, "Title": "The rooms of luckmatters, and what they import"})


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/house.svg"))
