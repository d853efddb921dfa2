"""Where a number comes from: code, libraries, machine."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from luckmatters import __version__

LIBRARIES = ("torch", "numpy", "pandas", "scipy", "matplotlib", "seaborn", "snakemake")


def provenance() -> dict:
    """Code version and commit, Python and library versions, the number of threads that was set for torch."""
    return {
        "code": {"version": __version__, "commit": commit()},
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "threads": os.environ.get("OMP_NUM_THREADS") or "not set",
    }


def commit() -> str:
    """The checkout's commit, marked if files differ from it; ``unknown`` outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
