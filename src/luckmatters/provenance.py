"""Where a number comes from: code, libraries, machine."""

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path

from luckmatters import __version__

ROOT = Path(__file__).parents[2]  # of an editable installation, which the Makefile and environment.yml make
PARTS = ("Snakefile", "workflow", "config", "data", "src")  # what results depend on
LIBRARIES = ("torch", "numpy", "pandas", "scipy", "matplotlib", "seaborn", "snakemake")


def provenance() -> dict:
    """Code version and commit, Python and library versions, torch's threads, and its graphics card if it used one."""
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
    """The checkout's commit, marked if files differ from it or are new; ``unknown`` outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        return head + "-dirty" * bool(
            git("status", "--porcelain", "--", *(part for part in PARTS if (ROOT / part).exists()))
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
