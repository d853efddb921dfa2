"""Whether other seeds stand as far from the published fan-out norms as the seeds of the experiment.

    python investigations/fan_out_seeds.py

The experiment fan-out-one-hidden has as many seeds as the authors, 32. This script adds further seeds, each with its
own teacher, up to the first published iteration behind the start, where the departures of m = 5 are greatest. It
compares the published means with groups of 32 seeds and with all of them. The spread over seeds that makes a standard
error is that of the seeds compared.

Behind config/published.yaml: "other seeds depart likewise".
Output: fan_out_seeds.txt.
"""

import numpy as np
import pandas as pd
from _shared import ROOT, parser

from luckmatters import kinds
from luckmatters.artefacts import published_file
from luckmatters.config import Project
from luckmatters.judging.published import joined, standard_error
from luckmatters.settings.experiment import Run

AT_ONCE = 16  # seeds in memory


def levels(run: Run, seeds: range, epochs: int) -> pd.DataFrame:
    """Fan-out norms of a run's students at the first and the last of some epochs: columns of the kind's table."""
    settings = run.settings.model_copy(update={"epochs": epochs, "snapshots": [0, epochs]})
    shorter = run.model_copy(update={"settings": settings})
    kind, frames = kinds.runner(run), []
    for start in range(seeds.start, seeds.stop, AT_ONCE):
        part = range(start, min(start + AT_ONCE, seeds.stop))
        *_, state = kind.simulate(shorter, part, resume=None)
        frames.append(kind.finish(shorter, part, state).table)
    table = pd.concat(frames, ignore_index=True)
    return table[table["epoch"].isin([0, epochs])]


def against(table: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds beside published means, with the difference in standard errors."""
    names = ["start", "quantity", "layer", "epoch"]
    ours = table.groupby(names)["value"].agg(["mean", "std", "count"]).reset_index()
    pairs = joined(ours, theirs)
    error = standard_error(pairs["std"], pairs["count"], pairs["seeds"], pairs["uncertainty"])
    return pairs.assign(departure=(pairs["mean"] - pairs["value"]) / error)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=160)
    given = options.parse_args()
    count, epochs = (4, 1) if given.smallest else (given.seeds, 20)
    run = Project(ROOT, scale="paper").run("fan-out-one-hidden", "m5")
    theirs = pd.read_csv(published_file(ROOT, "fan-out-one-hidden.csv"))
    table = levels(run, range(count), epochs)
    parts = {f"seeds {start} to {start + 31}": (start, start + 32) for start in range(0, count, 32)}
    print("Departures from the published means, in standard errors\n")
    rows = []
    for name, (start, stop) in {**parts, f"all {count} seeds": (0, count)}.items():
        part = against(table[table["seed"].between(start, stop - 1)], theirs)
        rows.append(part.assign(seeds_of=name))
    shown = pd.concat(rows).pivot_table("departure", ["epoch", "start", "quantity"], "seeds_of", sort=False)
    print(shown.round(2).to_string())
    print(f"\nroot mean square over all seeds: {np.sqrt((rows[-1]['departure'] ** 2).mean()):.2f}")


if __name__ == "__main__":
    main()
