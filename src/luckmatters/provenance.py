"""Provenance of numbers: code, libraries, machine."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from luckmatters import __version__
from luckmatters.dependencies import PACKAGE, digest, require_unchanged
from luckmatters.errors import UserError

ROOT = PACKAGE.parents[1]  # the Makefile and environment.yml install the package as editable
PARTS = ("Snakefile", "workflow", "config", "data", "src")  # what results depend on
KEPT = ":(exclude)data/kept"  # no result depends on what is kept of others
LIBRARIES = ("torch", "numpy", "pandas", "scipy", "matplotlib", "seaborn", "snakemake")


def provenance() -> dict:
    """Code, Python and library versions, the processor, torch's threads, and the graphics card if torch used it.

    Raises UserError if the code has changed on the disk since the process started.
    """
    require_unchanged()
    torch = sys.modules.get("torch")
    card = {"card": torch.cuda.get_device_name()} if torch and torch.cuda.is_initialized() else {}
    return {
        "code": code(),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "processor": processor(),
        "threads": torch.get_num_threads() if torch else 1,
        **card,
    }


@cache
def code() -> dict[str, str]:
    """Version, commit, and first digits of the checksum of all source files, as they are at the first call.

    The first call is that of :class:`luckmatters.config.Project`, before what computes is imported.
    """
    return {"version": __version__, "commit": commit(), "sources": digest()[:12]}


def commit() -> str:
    """Commit of the checkout, with ``-dirty`` if files are changed or new; ``unknown`` if it has no repository."""
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
    if len(made := _makers(commits)) == 1:
        require_clean_code(commits)
        return next(iter(made))
    raise UserError(f"numbers are kept only if one commit, without changes, made them all; {_in_words(made)}")


def require_clean_code(commits: Mapping[str, set[str]]) -> None:
    """Raises UserError if something was made by code that differs from its commit, or of no known commit."""
    if made := {code: names for code, names in _makers(commits).items() if not is_clean(code)}:
        raise UserError(f"numbers are kept only if a commit, without changes, made them; {_in_words(made)}")


def _makers(commits: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """What each commit made."""
    made: dict[str, list[str]] = {}
    for name, codes in commits.items():
        for code in codes:
            made.setdefault(code, []).append(name)
    return made


def _in_words(made: Mapping[str, list[str]]) -> str:
    makers = "; ".join(f"{code}: {', '.join(names)}" for code, names in sorted(made.items()))
    return f"these were made by {makers}"


def require_package_of(root: Path) -> None:
    """Check that a checkout's own package is the one in use, if it has one. Raises UserError.

    Numbers of one checkout's settings and another's code would bear a wrong commit.
    """
    own = root / "src" / "luckmatters" / "__init__.py"
    if own.exists() and not own.samefile(PACKAGE / own.name):
        raise UserError(
            f"{own.parent.resolve()}: is not the package in use, which is {PACKAGE}; install this checkout "
            f"(pip install --editable {root.resolve()}), or set PYTHONPATH={own.parents[1].resolve()}"
        )


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
    """What git says in the checkout. Fails in a folder of another repository: that repository's commits say nothing."""
    # A git hook names its repository in variables. Git looks for no repository in folders from a ceiling upwards.
    hook = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    environment = {name: value for name, value in os.environ.items() if name not in hook}
    environment["GIT_CEILING_DIRECTORIES"] = str(ROOT.resolve().parent)
    done = subprocess.run(["git", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()
