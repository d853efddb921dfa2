"""Measured levels against published ones whose number of seeds is known."""

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from luckmatters.judging.statistics import CONFIDENCE, Effect
from luckmatters.tables.columns import PUBLISHED_KEYS
from luckmatters.tables.results import Results


def keys(table: pd.DataFrame) -> list[str]:
    """The columns that name a level."""
    return [key for key in PUBLISHED_KEYS if key in table]


def departures(results: Results) -> pd.DataFrame:
    """Every published level that was measured, with ours and the difference in its standard errors.

    Columns: variant, start (where there are any), epoch, layer, quantity, value (published), uncertainty (of its
    reading), mean, seeds, error, departure. The error is that of a difference of two means over seeds, ours and the
    published one, whose seeds are taken to spread as ours do, and of the reading. Empty if nothing was published with
    its number of seeds.
    """
    names = keys(results.table)
    levels = [
        frame.assign(variant=variant, published_seeds=frame["seeds"]).drop(columns="seeds")
        for variant, frame in results.published.items()
        if "seeds" in frame
    ]
    if not levels:
        return pd.DataFrame(columns=[*names, "value", "uncertainty", "mean", "seeds", "error", "departure"])
    types = {"layer": int, "epoch": results.table["epoch"].dtype}
    ours = results.table.dropna(subset=["layer", "value"]).astype(types)
    ours = ours.groupby(names)["value"].agg(["mean", "std", "count"]).rename(columns={"count": "seeds"}).reset_index()
    found = pd.concat(levels).dropna(subset=["layer", "value"]).astype(types).merge(ours, on=names)
    error = standard_error(found["std"], found["seeds"], found["published_seeds"], found["uncertainty"])
    found = found.assign(error=error, departure=(found["mean"] - found["value"]) / error)
    return found[[*names, "value", "uncertainty", "mean", "seeds", "error", "departure"]]


def standard_error(std, seeds, published_seeds, uncertainty):
    """Of our mean minus a published one, whose seeds are taken to spread as ours do."""
    return np.sqrt(std**2 * (1 / seeds + 1 / published_seeds) + uncertainty**2)


def joint_tolerance(found: pd.DataFrame) -> float:
    """How many standard errors the largest of these departures may have: Student's t, divided among them all.

    Departures of one run go together, which makes this too generous rather than too strict.
    """
    return tolerance(found["seeds"].min(), len(found))


def tolerance(seeds: int, levels: int = 1) -> float:
    """How many standard errors the largest of so many departures may have by chance, in 95 % of cases."""
    return float(stdtrit(seeds - 1, 1 - (1 - CONFIDENCE) / 2 / levels))


def agreement(ours: pd.Series, published: float, published_seeds: int, uncertainty: float) -> Effect:
    """How many standard errors our mean may still depart from a published one before that is more than chance.

    Below 0 it is more than chance. The effect is a number without an interval: its error is that of the departure,
    which is judged against Student's t. A diverged seed leaves no lower limit. With few seeds the error is wide, and
    agreement says little: the note has it.
    """
    values = ours.dropna()
    seeds, diverged = len(ours), len(ours) - len(values)
    if len(values) < 2:
        left = np.nan if seeds < 2 else -np.inf
        return Effect(left, left, left, seeds, diverged=diverged)
    error = standard_error(values.std(), len(values), published_seeds, uncertainty)
    left = float(tolerance(len(values)) - abs(values.mean() - published) / error)
    note = f"{values.mean():.3f} against the published {published:.3f}, standard error of the difference {error:.3f}"
    return Effect(left, -np.inf if diverged else left, left, seeds, note, diverged)
