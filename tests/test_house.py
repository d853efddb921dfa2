"""The house: every kind's folder provides what its verb needs, and imports go only downward."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from conftest import ROOT, Checkout

from luckmatters import dependencies, kinds

PACKAGE = ROOT / "src" / "luckmatters"
KINDS = sorted(kinds.registry())
# What a folder or module may import from the package besides itself (DESIGN: floors from the ground up).
GROUND = {"errors", "progress", "downloads", "torchvision_shim", "provenance", "artefacts", "dependencies", "__init__"}
SHARED = {"science", "settings", "tables", "learning", "judging", "drawing"}
ALLOWED = {
    "science": set(),
    "settings": {"science"},
    "tables": {"settings"},
    "learning": {"science", "settings", "tables"},
    "judging": {"settings", "tables", "errors"},
    "drawing": {"science", "settings", "tables", "learning", "judging"},
    "kinds": SHARED | {"errors", "dependencies"},
    "config": {"settings", "tables", "kinds"} | GROUND,
    "jobs": SHARED | {"kinds", "config", "cifar10", "pretrained"} | GROUND,
}


def modules() -> dict[str, Path]:
    """Every module of the package, by its dotted name below it."""
    names = ((".".join(path.relative_to(PACKAGE).with_suffix("").parts), path) for path in PACKAGE.rglob("*.py"))
    return {name.removesuffix(".__init__") or "__init__": path for name, path in names}


def imported(path: Path, *, typing: bool = False) -> set[str]:
    """The dotted names below the package that a module imports; typing: those for type checkers too."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING" and not typing
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in skipped and node.module.startswith("luckmatters"):
            base = node.module.removeprefix("luckmatters").removeprefix(".")
            names = {f"{base}.{alias.name}".removeprefix(".") for alias in node.names}
            found |= {name if name in MODULES else base for name in names}
    return {name or "__init__" for name in found}


MODULES = modules()


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_go_only_downward(room: str) -> None:
    for name, path in MODULES.items():
        if name.split(".")[0] == room:
            rooms = {other.split(".")[0] for other in imported(path)} - {room}
            assert rooms <= ALLOWED[room], f"{name} imports {sorted(rooms - ALLOWED[room])}"


@pytest.mark.parametrize("kind", KINDS)
def test_computing_and_showing_modules_do_not_import_each_other(kind: str) -> None:
    folder = f"kinds.{kind.replace('-', '_')}"
    for name, path in MODULES.items():
        if not name.startswith(f"{folder}."):
            continue
        part, others = name.removeprefix(f"{folder}.").split(".")[0], imported(path)
        shows = {other for other in others if other.split(".")[-1] == "claims" or ".figure" in other}
        runs = {other for other in others if other.startswith("kinds.") and other.endswith(".run")}
        if part in ("figure", "figures", "claims"):
            assert not runs, f"{name} imports {runs}"
        else:
            shows |= {other for other in others if other.split(".")[0] in ("judging", "drawing")}
            assert not shows, f"{name} imports {shows}"
        if part == "settings":
            assert not {other for other in others if other.split(".")[0] in ("learning", "tables")}


@pytest.mark.parametrize("kind", KINDS)
def test_every_folder_provides_what_its_verb_needs(kind: str) -> None:
    """By name and by parameters: a missing ``finish`` must not be noticed after training."""
    protocol, module = kinds.PROTOCOLS[kinds.registry()[kind].verb], kinds.load(kinds.run_name(kind))
    for name, asked in inspect.getmembers(protocol, inspect.isfunction):
        if name.startswith("_"):
            continue
        assert callable(getattr(module, name, None)), f"{module.__name__} lacks {name}"
        parameters = inspect.signature(getattr(module, name)).parameters
        assert list(parameters) == list(inspect.signature(asked).parameters)[1:], f"{module.__name__}.{name}"


@pytest.mark.parametrize("layout", kinds.layouts())
def test_every_layout_has_a_module_that_draws(layout: str) -> None:
    module = kinds.load(kinds.figure_name(layout))
    assert list(inspect.signature(module.draw).parameters) == ["results", "published"]
    assert hasattr(module, "animate") == kinds.layouts()[layout][1].animated


def test_every_drawing_module_of_a_kind_is_a_layout_or_is_used_by_a_layout() -> None:
    drawn = {kinds.figure_name(layout) for layout in kinds.layouts()}
    used = set().union(*(imported(MODULES[name]) for name in drawn))
    there = {name for name in MODULES if name.startswith("kinds.") and ".figure" in name and name in MODULES}
    assert {name for name in there if not name.endswith(".figures")} <= drawn | used


def test_imports_have_no_cycle() -> None:
    graph = {name: imported(path) - {name} for name, path in MODULES.items()}
    done: set[str] = set()
    while ready := {name for name, others in graph.items() if name not in done and others & graph.keys() <= done}:
        done |= ready
    assert graph.keys() == done, sorted(graph.keys() - done)


# Functions of settings that look things up; no number is made there.
ACCESSORS = {"Run.trained", "Teacher.shape", "Claim.core", "config_hash", "teacher_hash", "_digest", "_first_named",
             "_teacher_first_named"}  # fmt: skip


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    """The functions of a module and the methods of its classes, by qualified name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{part.name}": part for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


def test_settings_compute_no_numbers() -> None:
    """Settings are in no step's closure: an edited description or check of a key reruns nothing."""
    for name, path in MODULES.items():
        if name.startswith("settings.") or name.endswith(".settings"):
            for function, node in functions(path).items():
                checks = any("validator" in ast.unparse(one) for one in node.decorator_list)
                checks |= function.split(".")[-1].startswith("check_") or node.name in ("_in_order", "batches_fit")
                assert checks or function in ACCESSORS, f"{name}.{function}: move it to a module that a step depends on"


def test_imports_are_read_as_the_parser_reads_them() -> None:
    """Whatever form they have: an import that is overlooked would leave a step as it was when its code changes."""
    for path in MODULES.values():
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        below = {name.removeprefix("luckmatters.") for name in names if name.startswith("luckmatters.")}
        assert set(dependencies._imports(path)) == below, path


@pytest.mark.parametrize("kind", KINDS)
def test_code_behind_numbers_is_in_the_closure_of_its_step(kind: str) -> None:
    """Every module that is imported on the way is tracked, or holds settings alone."""
    steps = [kinds.run_name(kind), *map(kinds.figure_name, kinds.registry()[kind].layouts), *kinds.claims_names()]
    for step in [
        *steps,
        "judging.summaries",
        "comparison",
        "drawing.published",
        "learning.teachers",
        "science.teachers",
        "pretrained",
        "cifar10",
    ]:
        tracked = {path.resolve() for path in dependencies.closure(step)}
        for name, path in MODULES.items():
            if path in tracked:
                for other in imported(path):
                    room = other.split(".")[0]
                    assert MODULES[other] in tracked or room in {"settings", *GROUND, "config", "kinds", "jobs"}, (
                        f"{step} uses {other} by {name}"
                    )


def test_jobs_with_samples_have_the_code_of_samples_in_their_closure() -> None:
    """Jobs get their samples from a verb: a ``run.py`` without the import would be resumed with other samples."""
    samples = dependencies.closure("learning.data")
    for kind, entry in kinds.registry().items():
        functions = inspect.getmembers(kinds.PROTOCOLS[entry.verb], inspect.isfunction)
        takes = any("data" in inspect.signature(function).parameters for _, function in functions)
        assert not takes or set(samples) <= set(dependencies.closure(kinds.run_name(kind))), kind


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "two_nodes/run.py",
            "def finish(",
            "def finished(",
            r"kinds.two_nodes.run: lacks finish, which kind two-nodes",
        ),
        ("decision_lines/figure.py", "def animate(", "def move(", r"decision_lines.figure: lacks animate"),
        ("lottery/settings.py", 'verb="retrain"', 'verb="retrian"', r"no such verb 'retrian'; allowed: train, retrain"),
        ("lottery/settings.py", "KIND = ", "KINDS = ", r"kinds.lottery.settings: has no KIND"),
        (
            "lottery/claims.py",
            "which=TENTH, over",
            "wich=TENTH, over",
            r"lottery/beats-own-scale: missing a required argument: 'which'",
        ),
        ("fan_out/claims.py", "EVIDENCE = [", "CLAIMS = [", r"kinds.fan_out.claims: has no EVIDENCE"),
    ],
)
def test_a_kind_that_lacks_something_is_one_line_before_anything_runs(
    checkout: Checkout, file: str, old: str, new: str, message: str
) -> None:
    checkout.edit(f"src/luckmatters/kinds/{file}", old, new)
    done = checkout.run("python", "-m", "luckmatters", "--scale", "ci", "check", status=2)
    (line,) = done.stderr.splitlines()
    assert re.search(message, line), line
