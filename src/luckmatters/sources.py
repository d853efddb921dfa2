"""Which source files a step depends on: the modules that it imports, found by reading, not by importing."""

import ast
import os
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
# Steps are rebuilt when these change. The rest is plumbing: what it passes on (resolved settings, checked files) is
# tracked as such.
STRATA = ("science", "experiments", "figures", "claims", "results", "cifar10", "pretrained", "downloads")


@cache
def closure(module: str) -> tuple[Path, ...]:
    """The files of a module (``science.training``) and of all that it imports from the strata, sorted."""
    found: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name.split(".")[0] in STRATA and name not in found and _file(name).exists():
            found.add(name)
            pending += _imports(_file(name))
    # Relative to the working folder, so that a checkout that is moved is not a checkout that has changed.
    return tuple(sorted(Path(os.path.relpath(_file(name))) for name in found))


def _file(module: str) -> Path:
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


@cache
def _imports(path: Path) -> list[str]:
    """The package's modules that a file imports, at any depth, without the leading package name."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return [name.removeprefix("luckmatters.") for name in names if name.startswith("luckmatters.")]
