"""Measure the tolerances of the audit: how far recomputed results move with what must not change a result.

    python maintenance/audit.py --scale paper [experiment …]        (all experiments, if none is named)

It refuses a checkout that is not as committed.

The first epoch of every run is recomputed for a few seeds: in one batch with one thread, and again under every
condition that may change float32 rounding. The greatest difference of each run's quantities between a condition and the
plain computation is written to data/reference/audit/<scale>.csv. The audit allows a multiple of it. Runs whose seeds
take longer than --seconds, as predicted, are left out, and so are runs whose teacher or images are not at hand. With
--smallest one condition and one run are tried, and nothing is written.
"""

import argparse
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from unittest import mock

import pandas as pd
from reference import CONDITIONS

from luckmatters.audit import EPOCHS, compare, spread, tolerances_file
from luckmatters.config import Project
from luckmatters.costs import seconds
from luckmatters.errors import UserError
from luckmatters.jobs.recompute import recompute
from luckmatters.provenance import require_clean

ROOT = Path(__file__).parents[1]
SEEDS = 3
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# What a condition changes: whether seeds are computed one by one, and variables of the environment.
CHANGES = {
    "two threads, one seed a job": (True, dict.fromkeys(ONE_THREAD, "2")),
    "no vector instructions": (False, ONE_THREAD | CONDITIONS["no vector instructions"][1]),
}
Name = tuple[str, str]


def tables(scale: str, names: list[Name], *, alone: bool) -> dict[Name, pd.DataFrame]:
    """The first epochs of runs, by experiment and variant; alone: whether every seed is computed for itself."""
    project, found = Project(ROOT, scale=scale), {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            run = project.run(*name)
            seeds = run.seeds[:SEEDS]
            chunks = [[seed] for seed in seeds] if alone else [seeds]
            try:
                parts = [recompute(project, run, chunk, EPOCHS, Path(folder)) for chunk in chunks]
            except UserError as error:
                print(f"{'/'.join(name)}: left out: {error}", flush=True)
                continue
            found[name] = pd.concat(parts)
    return found


def under(environment: dict[str, str], scale: str, names: list[Name], *, alone: bool) -> dict[Name, pd.DataFrame]:
    """The tables of a process of its own: torch reads the environment when it is imported."""
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with mock.patch.dict(os.environ, environment), pool as process:
        return process.submit(tables, scale, names, alone=alone).result()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--scale", default="paper")
    options.add_argument("--seconds", type=float, default=200, help="the greatest predicted time of a seed of a run")
    options.add_argument("--smallest", action="store_true", help="a trial of the script; nothing is written")
    options.add_argument("experiments", nargs="*")
    given = options.parse_args()
    scale, changes = given.scale, CHANGES
    if given.smallest:
        scale, changes = "ci", {name: CHANGES[name] for name in ("no vector instructions",)}
    else:
        require_clean()
    project = Project(ROOT, scale=scale)
    runs = [run for name in given.experiments or project.experiments for run in project.own_runs(name).values()]
    runs = [run for run in runs if seconds(run, EPOCHS) <= given.seconds]
    if given.smallest:
        runs = [project.run("learning-rate", "lr-005-m1")]
    names = [(run.experiment, run.variant) for run in runs]
    plain, moved = under(ONE_THREAD, scale, names, alone=False), []
    for condition, (alone, environment) in changes.items():
        for name, table in under(environment, scale, list(plain), alone=alone).items():
            run = project.run(*name)
            labels = {"kind": run.kind, "experiment": run.experiment, "variant": run.variant, "condition": condition}
            moved.append(spread(compare(plain[name], table)).assign(**labels))
    found = pd.concat(moved)
    print(found.groupby(["kind", "quantity", "stage", "condition"])["difference"].max().unstack().to_string())
    if given.smallest:
        return
    keys = ["kind", "experiment", "variant", "quantity", "stage"]
    most = found[found["difference"] > 0].groupby(keys, as_index=False)["difference"].max()
    path = tolerances_file(ROOT, scale)
    if given.experiments and path.exists():
        others = pd.read_csv(path).query("experiment in @project.experiments and experiment not in @given.experiments")
        most = pd.concat([others, most])
    path.parent.mkdir(exist_ok=True)
    most.sort_values(keys).to_csv(path, index=False, float_format="%.3g", lineterminator="\n")


if __name__ == "__main__":
    main()
