"""The audit: kept results are trusted because a random sample of them, recomputed here and now, agrees.

Of training, the first epoch alone is recomputed, with the schedules of the whole run. What the end of a run decides
(``hindsight`` of a kind) is then left out. Simulations and measurements are recomputed whole. Nothing is written to
the project's results.
"""

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from luckmatters.artefacts import SUPERSEDED, TABLE
from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.jobs.recompute import recompute
from luckmatters.regression import relative, tolerance
from luckmatters.settings.experiment import Run
from luckmatters.tables.columns import NAMES

EPOCHS = 1  # of training: rounding grows with every step, and a fault shows in the first epoch
NAMED = ["experiment", "variant"]  # columns that name a run
Cost = Callable[[Run, float], float]  # see :func:`luckmatters.costs.seconds`
AGREES, DEPARTS = "agrees", "DEPARTS"


def kept_tables(project: Project) -> Iterator[tuple[Run, pd.DataFrame]]:
    """The runs that are kept at the scale in force, with their tables. What is damaged is left out, with a message."""
    for name in project.experiments:
        for run in project.own_runs(name).values():
            if kept := project.kept(run):
                yield run, pd.read_parquet(io.BytesIO(kept.bundle.read(TABLE)))


# --- comparing -------------------------------------------------------------------------------------------------------


def compare(kept: pd.DataFrame, recomputed: pd.DataFrame) -> pd.DataFrame:
    """The rows of a run's kept table and of the recomputed table side by side, where both are of the same numbers.

    kept: may have other seeds, epochs and quantities besides.
    Columns: those of the recomputed table that name a number, kept, recomputed, and difference, relative to
    max(1, |kept|); infinite where a row is missing in one of both tables. An epoch of a quantity that is in one table
    alone does not count as missing. Raises UserError if the kept table lacks a column.
    """
    keys = [name for name in NAMES if name in recomputed and name not in (*NAMED, "value")]
    if lacking := {*keys, "value"} - set(kept):
        raise UserError(f"the kept table has no column {', '.join(sorted(lacking))}; keep the run again")
    tables = [_comparable(table, keys) for table in (kept, recomputed)]
    whole = [key for key in ("seed", "epoch", "quantity") if key in keys]
    moments = [pd.MultiIndex.from_frame(table[whole]) for table in tables]
    one, other = (table[own.isin(theirs)] for table, own, theirs in zip(tables, moments, moments[::-1], strict=True))
    both = one.merge(other, how="outer", on=keys, suffixes=("_kept", "_recomputed"), indicator=True)
    difference = relative(both["value_kept"], both["value_recomputed"]).mask(both["_merge"] != "both", float("inf"))
    both = both.rename(columns={"value_kept": "kept", "value_recomputed": "recomputed"})
    return both[[*keys, "kept", "recomputed"]].assign(difference=difference)


def _comparable(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """A table's keys and values in types that do not depend on the file that the table was read from."""
    numbers = [name for name in keys if pd.api.types.is_numeric_dtype(table[name])]
    texts = {name: table[name].astype(str) for name in keys if name not in numbers}
    rounded = table[numbers].astype("float64").round(9)  # fractions of epochs
    return table[[*keys, "value"]].assign(**texts, **rounded)


def stage(rows: pd.DataFrame) -> pd.Series:
    """The training behind each row of a table, in epochs, rounded up to a power of ten: rounding grows."""
    if "epoch" not in rows:
        return pd.Series(0.0, index=rows.index)
    trained = rows["epoch"].where(rows["epoch"] > 0)
    return (10 ** np.ceil(np.log10(trained) - 1e-9)).fillna(0.0)


def tolerances_file(root: Path, scale: str) -> Path:
    """File of the spread of recomputed results between the measured conditions, from maintenance/audit.py."""
    return root / "data" / "reference" / "audit" / f"{scale}.csv"


def measured_spread(project: Project) -> pd.DataFrame:
    """The spread that is measured at the scale in force. Raises UserError if there is none."""
    path = tolerances_file(project.root, project.scale_name)
    if not path.exists():
        raise UserError(f"{path}: is missing; python maintenance/audit.py --scale {project.scale_name} measures it")
    return pd.read_csv(path, float_precision="round_trip")


def spread(compared: pd.DataFrame) -> pd.DataFrame:
    """The greatest difference of each quantity and stage between two computations of a run, from :func:`compare`."""
    by = compared.assign(stage=stage(compared))
    return by.groupby(["quantity", "stage"], as_index=False)["difference"].max()


def departures(run: Run, compared: pd.DataFrame, measured: pd.DataFrame) -> pd.Series:
    """The differences of a run's rows, as multiples of the tolerances.

    measured: the spread between the measured conditions (columns kind, experiment, variant, quantity, stage and
    difference), see maintenance/audit.py. A quantity that did not move in this run may still step in another seed, as
    counts do, and other runs may not have been measured: the greatest spread of the kind stands in.
    Raises UserError if no run of the kind has been measured.
    """
    measured = measured[measured["kind"] == run.kind]
    if measured.empty:
        raise UserError(f"no tolerances are measured for kind {run.kind}; maintenance/audit.py measures them")
    own = measured[(measured["experiment"] == run.experiment) & (measured["variant"] == run.variant)]
    rows = pd.MultiIndex.from_arrays([compared["quantity"], stage(compared)])
    of_run, of_kind = (
        rows.map(table.groupby(["quantity", "stage"])["difference"].max().to_dict()).to_numpy(float)
        for table in (own, measured)
    )
    known = np.nan_to_num(np.where(of_run > 0, of_run, of_kind))
    return compared["difference"] / tolerance(pd.Series(known, index=compared.index))


# --- choosing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """A run and one of the run's seeds, with the predicted seconds to recompute the seed's first epochs."""

    run: Run
    seed: int
    seconds: float


def sample(kept: Iterable[tuple[Run, pd.DataFrame]], cost: Cost, *, seed: int, within: float) -> list[Choice]:
    """A random choice of runs and seeds that takes the given number of seconds at most, as predicted.

    kept: runs with their kept tables; cost: predicts the seconds to recompute a seed.
    Experiments take turns, in random order, so that an experiment with many variants has no more chances than others.
    What takes longer than the seconds that are left is passed over.
    """
    costs = [(run, cost(run, EPOCHS), sorted(set(table["seed"]))) for run, table in kept]
    choices = [Choice(run, int(own), cost) for run, cost, seeds in costs for own in seeds]
    random = np.random.default_rng(seed)
    shuffled = [choices[place] for place in random.permutation(len(choices))]
    order = [str(name) for name in random.permutation(sorted({run.experiment for run, _, _ in costs}))]
    turns: dict[str, list[Choice]] = {name: [] for name in order}
    for choice in shuffled:
        turns[choice.run.experiment].append(choice)
    chosen, left = [], within
    for choice in (choice for turn in zip_longest(*turns.values()) for choice in turn if choice):
        if choice.seconds <= left:
            chosen.append(choice)
            left -= choice.seconds
    return chosen


# --- the audit -------------------------------------------------------------------------------------------------------


def audit(
    project: Project,
    kept: Iterable[tuple[Run, pd.DataFrame]],
    measured: pd.DataFrame,
    cost: Cost,
    *,
    seed: int,
    within: float,
) -> Iterator[dict]:
    """Recompute a random sample of kept results, and yield a row of the report after each.

    kept: runs with their kept tables; measured: see :func:`departures`; cost, seed, within: see :func:`sample`.
    A row has experiment, variant, seed, epochs (how many were compared), rows (compared numbers), greatest
    (departure, in multiples of the tolerance), quantity (which departs most), and
    verdict: AGREES, DEPARTS, or why there is none.
    """
    tables = {(run.experiment, run.variant): (run, table) for run, table in kept}
    with tempfile.TemporaryDirectory() as folder:
        for choice in sample(tables.values(), cost, seed=seed, within=within):
            run, table = tables[choice.run.experiment, choice.run.variant]
            row = {"experiment": run.experiment, "variant": run.variant, "seed": choice.seed}
            try:
                recomputed = recompute(project, run, [choice.seed], EPOCHS, Path(folder))
                yield row | verdict(run, compare(table, recomputed), measured)
            except UserError as error:
                yield row | {"rows": 0, "verdict": f"not recomputed: {error}"}


def verdict(run: Run, compared: pd.DataFrame, measured: pd.DataFrame) -> dict:
    """The rest of a row of :func:`audit`."""
    if compared.empty:
        return {"rows": 0, "verdict": "not recomputed: nothing of the first epochs is kept"}
    times = departures(run, compared, measured)
    return {
        "epochs": compared["epoch"].max() if "epoch" in compared else 0,
        "rows": len(compared),
        "greatest": times.max(),
        "quantity": compared.loc[times.idxmax(), "quantity"],
        "verdict": AGREES if times.max() <= 1 else DEPARTS,
    }


def conclude(rows: Sequence[dict], *, seed: int, within: float) -> str:
    """What an audit found, in a sentence. Raises UserError if a result departs, or if nothing was recomputed."""
    departed = [
        f"{r['experiment']}/{r['variant']} seed {r['seed']} ({r['quantity']})" for r in rows if r["verdict"] == DEPARTS
    ]
    agreed = sum(row["verdict"] == AGREES for row in rows)
    again = f"`luckmatters audit --seed {seed} --seconds {within:g}` repeats the choice"
    if departed:
        raise UserError(
            f"kept results depart from what this code computes: {', '.join(departed)}; {again}; if the code changed on "
            f"purpose compute and keep these results again, or declare them superseded ({SUPERSEDED}); else restore "
            "the kept files or the code from git"
        )
    if not agreed:
        raise UserError(f"nothing was recomputed; give the audit more --seconds, another --seed, or results; {again}")
    numbers = sum(row["rows"] for row in rows)
    return f"{agreed} kept results, {numbers:,} numbers, agree with what this machine computes; {again}"


def report(
    project: Project, kept: Iterable[tuple[Run, pd.DataFrame]], cost: Cost, *, seed: int | None, within: float
) -> str:
    """Audit kept results, print a line for each as it is recomputed, and return the conclusion.

    kept, cost, seed, within: see :func:`sample`; without a seed, one is drawn.
    Raises UserError if a result departs, or if nothing was recomputed.
    """
    seed = int(np.random.default_rng().integers(10**6)) if seed is None else seed
    print(f"audit --seed {seed} --seconds {within:g}, scale {project.scale_name}", flush=True)
    kept, rows = list(kept), []
    if costly := sorted({f"{run.experiment}/{run.variant}" for run, _ in kept if cost(run, EPOCHS) > within}):
        print(f"out of reach within {within:g} s: {', '.join(costly)}", flush=True)
    for row in audit(project, kept, measured_spread(project), cost, seed=seed, within=within):
        rows.append(row)
        name = f"{row['experiment']}/{row['variant']} seed {row['seed']}"
        found = f"{row['rows']:,} numbers to epoch {row['epochs']:g}, " if row["rows"] else ""
        most = f" ({row['greatest']:.2g} of the tolerance, {row['quantity']})" if row["rows"] else ""
        print(f"{name}: {found}{row['verdict']}{most}", flush=True)
    return conclude(rows, seed=seed, within=within)
