"""Which source files a step depends on: the modules that it imports, found by reading, not by importing."""

import ast
import hashlib
import os
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
# Steps are rebuilt when these change. The rest is plumbing: what it passes on (resolved settings, checked files) is
# tracked as such.
TRACKED = (
    "science", "tables", "learning", "judging", "drawing", "kinds", "ledger", "reading",
    "cifar10", "pretrained", "downloads",
)  # fmt: skip


@cache
def closure(module: str) -> tuple[Path, ...]:
    """The files of a module (``science.training``) and of all that it imports of what is tracked, sorted."""
    found: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name not in found and _is_tracked(name):
            found.add(name)
            pending += _imports(_file(name))
    # Relative to the working folder, so that a checkout that is moved is not a checkout that has changed.
    return tuple(sorted(Path(os.path.relpath(_file(name))) for name in found))


def digest(module: str) -> str:
    """A checksum of what :func:`closure` names: checkpoints from other code are not resumed."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in closure(module))).hexdigest()


def _is_tracked(module: str) -> bool:
    parts = module.split(".")
    return parts[0] in TRACKED and parts[-1] != "settings" and _file(module).exists()


def _file(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


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
