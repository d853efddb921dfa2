"""Source files that a step depends on: the modules imported, found by reading the code, not by importing it."""

import hashlib
import os
import re
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
# Parts whose changes rebuild steps. The other modules only pass on settings and files, which are tracked themselves.
TRACKED = (
    "science", "tables", "learning", "judging", "drawing", "kinds", "ledger", "reading",
    "cifar10", "pretrained", "downloads",
)  # fmt: skip

# To parse every file takes half a second of each start of Snakemake; the tests read imports by parsing.
IMPORT = re.compile(r"^ *from (luckmatters[\w.]*) import (\([^)]*\)|[^\n#]+)", re.MULTILINE)


@cache
def closure(*names: str) -> tuple[Path, ...]:
    """Sorted files of modules (``science.training``) and of all tracked modules that they import, at any depth."""
    modules: set[str] = set()
    pending = [*names]
    while pending:
        name = pending.pop()
        if name not in modules and _is_tracked(name):
            modules.add(name)
            pending += _imports(file_of(name))
    # Relative to the working folder, so that moving a checkout rebuilds nothing.
    return tuple(sorted(Path(os.path.relpath(file_of(name))) for name in modules))


def digest(*names: str) -> str:
    """A checksum of the files of a closure: checkpoints from other code are not resumed."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in closure(*names))).hexdigest()


def _is_tracked(module: str) -> bool:
    parts = module.split(".")
    return parts[0] in TRACKED and parts[-1] != "settings" and file_of(module).exists()


def file_of(module: str) -> Path:
    """The file of a module, by the name below the package; there need not be such a file."""
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _imports(path: Path) -> list[str]:
    """The package's modules that a file imports, at any depth, without the leading package name."""
    names = []
    for module, imported in IMPORT.findall(path.read_text(encoding="utf-8")):
        parts = (part.split() for part in imported.strip("()").split(","))
        names += [module, *(f"{module}.{part[0]}" for part in parts if part)]
    return [name.removeprefix("luckmatters.") for name in names if name.startswith("luckmatters.")]
