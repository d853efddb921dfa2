"""Provenance of numbers: code, libraries, machine."""

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from luckmatters import __version__
from luckmatters.errors import UserError

ROOT = Path(__file__).parents[2]  # the Makefile and environment.yml install the package as editable
PARTS = ("Snakefile", "workflow", "config", "data", "src")  # what results depend on
KEPT = ":(exclude)data/kept"  # no result depends on what is kept of others
LIBRARIES = ("torch", "numpy", "pandas", "scipy", "matplotlib", "seaborn", "snakemake")


def provenance() -> dict:
    """Code version and commit, Python and library versions, torch's threads, and the graphics card if torch used it."""
    torch = sys.modules.get("torch")
    card = {"card": torch.cuda.get_device_name()} if torch and torch.cuda.is_initialized() else {}
    return {
        "code": {"version": __version__, "commit": commit()},
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "threads": torch.get_num_threads() if torch else 1,
        **card,
    }


def commit() -> str:
    """Commit of the checkout, with ``-dirty`` if files are changed or new; ``unknown`` outside a checkout."""
    try:
        return _git("rev-parse", "--short=12", "HEAD") + "-dirty" * bool(_changed_parts())
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def is_clean(code: str) -> bool:
    """Whether a text by :func:`commit` identifies the code completely."""
    return code != "unknown" and not code.endswith("-dirty")


def require_clean() -> None:
    """Check that the checkout equals its commit, which identifies the code behind kept numbers. Raises UserError."""
    try:
        lines = _git("status", "--porcelain", "--untracked-files=no", "--", ".", KEPT).splitlines() or _changed_parts()
    except (OSError, subprocess.CalledProcessError):
        raise UserError(f"{ROOT}: is no git checkout; numbers are kept only with the commit that made them") from None
    if lines:
        names = ", ".join(line.split()[-1] for line in lines[:3]) + (", …" if len(lines) > 3 else "")
        raise UserError(f"{ROOT}: differs from its commit ({names}); commit before keeping numbers")


def common_code(commits: Mapping[str, set[str]]) -> str:
    """The commit that made everything. Raises UserError for several commits, or a commit with uncommitted changes."""
    made: dict[str, list[str]] = {}
    for name, codes in commits.items():
        for code in codes:
            made.setdefault(code, []).append(name)
    if len(made) == 1 and is_clean(code := next(iter(made))):
        return code
    makers = "; ".join(f"{code}: {', '.join(names)}" for code, names in sorted(made.items()))
    raise UserError(f"numbers are kept only if one commit, without changes, made them all; these were made by {makers}")


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _changed_parts() -> list[str]:
    """Lines of git's status for files that results depend on: changed files, and new files that git does not ignore."""
    parts = [part for part in PARTS if (ROOT / part).exists()]
    return _git("status", "--porcelain", "--", *parts, KEPT).splitlines()


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
