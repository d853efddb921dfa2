"""Comparison of measured levels with published levels whose number of seeds is known."""

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from luckmatters.judging.statistics import CONFIDENCE, Effect
from luckmatters.tables.columns import PUBLISHED_KEYS, present
from luckmatters.tables.results import Results


def keys(table: pd.DataFrame) -> list[str]:
    """The columns of a table that tell published levels apart."""
    return present(PUBLISHED_KEYS, table)


def departures(results: Results) -> pd.DataFrame:
    """Published levels beside measured means, with the difference in standard errors.

    Columns: variant, start (if the table has starts), epoch, layer, quantity, value (published), uncertainty (of
    reading the value), mean and seeds (measured), error (see :func:`standard_error`), departure (mean minus value over
    error). Only levels that are both published and measured have a row. The table is empty if no published level has a
    number of seeds.
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
    table = pd.concat(levels).dropna(subset=["layer", "value"]).astype(types).merge(ours, on=names)
    error = standard_error(table["std"], table["seeds"], table["published_seeds"], table["uncertainty"])
    table = table.assign(error=error, departure=(table["mean"] - table["value"]) / error)
    return table[[*names, "value", "uncertainty", "mean", "seeds", "error", "departure"]]


def standard_error(std, seeds, published_seeds, uncertainty):
    """The standard error of a measured mean over seeds minus a published mean.

    std: of the measured seeds, assumed to hold for published seeds too; uncertainty: of reading the published mean.
    """
    return np.sqrt(std**2 * (1 / seeds + 1 / published_seeds) + uncertainty**2)


def joint_tolerance(found: pd.DataFrame) -> float:
    """The largest departure, in standard errors, that chance allows among all rows: Student's t with Bonferroni's rule.

    Departures of the same run are correlated. The tolerance is therefore too generous rather than too strict.
    found: the table of :func:`departures`.
    """
    return tolerance(found["seeds"].min(), len(found))


def tolerance(seeds: int, levels: int = 1) -> float:
    """The largest departure, in standard errors, that chance allows among `levels` departures, in 95 % of cases.

    seeds: the number of measured seeds.
    """
    return float(stdtrit(seeds - 1, 1 - (1 - CONFIDENCE) / 2 / levels))


def agreement(ours: pd.Series, published: float, published_seeds: int, uncertainty: float) -> Effect:
    """The tolerance minus the departure of our mean from a published mean, in standard errors.

    Below 0 the departure is more than chance. The effect is a number without an interval, since Student's t already
    judges the departure. A diverged seed leaves no lower limit. With few seeds the standard error is wide and agreement
    says little; the note gives the standard error.
    ours: a value for each seed, NaN where diverged; uncertainty: of reading the published mean.
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
