"""Source files that a step depends on: the modules imported, found by reading the code, not by importing it.

The files are read when a command starts, before it imports what computes. The code that runs is the code that was read,
or else :func:`require_unchanged` notices.
"""

import os
import re
import sys
from functools import cache
from pathlib import Path

from luckmatters.artefacts import sha256
from luckmatters.errors import UserError

PACKAGE = Path(__file__).parent
# An editor's lock is a link to no file.
SOURCES = {path: path.read_bytes() for path in sorted(PACKAGE.rglob("*.py")) if path.is_file()}
# Parts whose changes rebuild steps. The other modules only pass on settings and files, which are tracked themselves.
TRACKED = (
    "science", "tables", "learning", "judging", "drawing", "kinds", "ledger", "comparison", "reading",
    "report", "cifar10", "pretrained", "downloads",
)  # fmt: skip

# To parse every file takes half a second of each start of Snakemake; the tests read imports by parsing.
IMPORT = re.compile(r"^ *from (luckmatters[\w.]*) import (\([^)]*\)|[^\n#]+)", re.MULTILINE)


@cache
def closure(*names: str) -> tuple[Path, ...]:
    """Sorted files of modules (``science.training``) and of all tracked modules that they import, at any depth."""
    # Relative to the working folder, so that moving a checkout rebuilds nothing.
    return tuple(Path(os.path.relpath(path)) for path in _closure(*names))


def digest(*names: str) -> str:
    """A checksum of the files of a closure: checkpoints from other code are not resumed. No names: of all files."""
    return sha256(b"".join(SOURCES[path] for path in (_closure(*names) if names else SOURCES)))


def require_unchanged() -> None:
    """Check that the tracked modules in use are still what was read at the start. Raises UserError that names changes.

    Snakemake, which goes by times, would take a result of the old code for a result of the new code.
    """
    modules = [name.removeprefix("luckmatters.") for name in sys.modules if name.startswith("luckmatters.")]
    files = {file_of(module) for module in modules if _is_tracked(module)}
    changed = sorted(path for path in files if not path.exists() or path.read_bytes() != SOURCES[path])
    if changed:
        names = ", ".join(map(os.path.relpath, changed[:3])) + ", …" * (len(changed) > 3)
        raise UserError(f"{names}: changed while this command ran; what the old code made is not written; run it again")


@cache
def _closure(*names: str) -> list[Path]:
    modules: set[str] = set()
    pending = [*names]
    while pending:
        name = pending.pop()
        if name not in modules and _is_tracked(name):
            modules.add(name)
            pending += _imports(file_of(name))
    return sorted(file_of(name) for name in modules)


def _is_tracked(module: str) -> bool:
    parts = module.split(".")
    return parts[0] in TRACKED and parts[-1] != "settings" and file_of(module) in SOURCES


def file_of(module: str) -> Path:
    """The file of a module, by the name below the package; there need not be such a file."""
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _imports(path: Path) -> list[str]:
    """The package's modules that a file imports, at any depth, without the leading package name."""
    names = []
    for module, imported in IMPORT.findall(SOURCES[path].decode()):
        parts = (part.split() for part in imported.strip("()").split(","))
        names += [module, *(f"{module}.{part[0]}" for part in parts if part)]
    return [name.removeprefix("luckmatters.") for name in names if name.startswith("luckmatters.")]
