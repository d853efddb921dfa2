"""Rewrite the reference tables of the ci scale, and the tolerances within which later runs must stay.

    python maintenance/reference.py [experiment …]        (make reference SCALE=ci; all experiments, if none is named)

It refuses a checkout that is not as committed.

The tolerances are measured, not chosen: the whole ci workflow runs as it is, and again under every condition that may
change float32 rounding but must not change a result. The greatest difference of each variant's quantities between a
condition and the plain run is written to data/reference/ci/spread.csv; the regression test allows a multiple of it.
With --smallest one condition and one experiment are tried, and nothing is written.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from luckmatters.artefacts import summary_files
from luckmatters.config import Project
from luckmatters.provenance import require_clean
from luckmatters.regression import differences, greatest

ROOT = Path(__file__).parents[1]
CI = ("--config", "scale=ci")
# What a condition changes: keys of config/scales/ci.yaml, or variables of the environment.
CONDITIONS = {
    "two threads, one seed a job": (
        {"threads_per_job: 1": "threads_per_job: 2", "seeds_per_job: 8": "seeds_per_job: 1"},
        {},
    ),
    "no vector instructions": (
        {},
        {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    ),
}


def run(folder: Path, edits: dict[str, str], environment: dict[str, str], names: list[str]) -> Project:
    """Make the summaries of these experiments in a copy of the configuration, with results in a folder of its own."""
    folder.mkdir()
    for file in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / file, folder)
    for part in ("workflow", "profiles", "config", "data"):
        shutil.copytree(ROOT / part, folder / part)
    scale = folder / "config" / "scales" / "ci.yaml"
    for old, new in edits.items():
        assert old in scale.read_text()
        scale.write_text(scale.read_text().replace(old, new))
    targets = [str(summary_files(Path("figures/ci"), name)["csv"]) for name in names]
    command = ["snakemake", "--cores", "2", *CI, "--", *targets]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    inherited = {name: value for name, value in os.environ.items() if name != "LUCKMATTERS_CIFAR10"}  # synthetic images
    done = subprocess.run(
        command, cwd=folder, env={**inherited, "PATH": path, **environment}, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)
    return Project(folder, scale="ci")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--smallest", action="store_true", help="a trial of the script; nothing is written")
    options.add_argument("experiments", nargs="*")
    given = options.parse_args()
    names, conditions = given.experiments or list(Project(ROOT, scale="ci").experiments), CONDITIONS
    if given.smallest:
        names, conditions = ["bn-bias-vgg"], {name: CONDITIONS[name] for name in ("no vector instructions",)}
    else:
        require_clean()
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "plain"
        project = run(plain, {}, {}, names)
        spread = []
        for number, (condition, (edits, environment)) in enumerate(conditions.items()):
            folder = Path(scratch) / str(number)
            run(folder, edits, environment, names)
            for name in names:
                file = summary_files(project.figures, name)["csv"]
                one, other = (pd.read_csv(place / file) for place in (plain, folder))
                moved = greatest(differences(one, other)).reset_index()
                spread.append(moved.assign(experiment=name, condition=condition))
        table = pd.concat(spread)
        print(table.groupby(["experiment", "quantity", "condition"])["difference"].max().unstack([0, 2]).T.to_string())
        if given.smallest:
            return
        subprocess_environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, "-m", "luckmatters", "--project", str(ROOT), "--scale", "ci", "reference", *names]
        subprocess.run(command, cwd=plain, env=subprocess_environment, check=True)
        most = table.groupby(["experiment", "variant", "quantity"], as_index=False)["difference"].max()
        path = ROOT / "data/reference/ci/spread.csv"
        others = pd.read_csv(path).query("experiment in @project.experiments and experiment not in @names")
        both = pd.concat([others, most]).sort_values(["experiment", "variant", "quantity"])
        both.to_csv(path, index=False, float_format="%.3g", lineterminator="\n")


if __name__ == "__main__":
    main()
