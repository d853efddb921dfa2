"""Comparison of measured levels with published levels, in standard errors."""

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from luckmatters.judging.statistics import CONFIDENCE, Effect
from luckmatters.settings.published import PublishedCurves
from luckmatters.tables.columns import PUBLISHED_KEYS, present
from luckmatters.tables.results import Results

UNITS = 2  # standard errors: 95 % of departures by chance are smaller, with many seeds


def keys(table: pd.DataFrame) -> list[str]:
    """The columns of a table that tell published levels apart."""
    return present(PUBLISHED_KEYS, table)


def compared(
    ours: pd.DataFrame,
    theirs: pd.DataFrame,
    source: PublishedCurves,
    *,
    own_teachers: bool,
    spread: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Published levels beside the means of a run, with the difference in standard errors.

    ours: the run's rows of a summary, with mean, std and seeds (see ``summaries.summarize``).
    theirs: a file of data/published; source: what the levels in this file are means of.
    own_teachers: whether each of our seeds has its own teacher; otherwise all have the same.
    spread: the rows of the summary of a run with several teachers of the same kind.

    Columns: start (if the file has starts), quantity, layer (NA: whole network), epoch, ours, std, seeds, theirs,
    reading (uncertainty of reading the level), teachers, unit (standard error of ours minus theirs), departure (ours
    minus theirs over unit), published (the number of levels of the curve, also at epochs that we did not run). Only
    levels that are both published and measured have a row. The unit is NaN without a spread, as with a single seed.

    teachers says how the unit counts that teachers differ: ``own`` (each of our seeds has its own), ``measured`` (by
    `spread`, which stands for both sides; it holds the spread over seeds too, so that the unit is rather too large), or
    ``unknown`` (not at all: the unit is too small, and the departure too large).
    """
    curve = [key for key in keys(theirs) if key != "epoch"]
    theirs = theirs.assign(published=theirs.groupby(curve, dropna=False)["value"].transform("count"))
    ours = ours[[*keys(theirs), "mean", "std", "seeds"]].dropna(subset="mean")  # no mean: all seeds diverged
    table = joined(ours, theirs.drop(columns="seeds", errors="ignore"))
    spreads = np.full(len(table), np.nan) if own_teachers else spread_of_teachers(table, spread)
    measured = np.isfinite(spreads)
    unit = standard_error(
        np.where(measured, spreads, table["std"]),
        np.where(measured, 1, table["seeds"]),  # one teacher each, however many students
        np.where(measured | own_teachers, source.teachers, source.seeds),
        table["uncertainty"],
    )
    teachers = "own" if own_teachers else np.where(measured, "measured", "unknown")
    table = table.rename(columns={"mean": "ours", "value": "theirs", "uncertainty": "reading"})
    table = table.assign(teachers=teachers, unit=unit, departure=(table["ours"] - table["theirs"]) / unit)
    names = ["ours", "std", "seeds", "theirs", "reading", "teachers", "unit", "departure", "published"]
    return table[[*curve, "epoch", *names]]


def joined(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """The rows of published levels with the columns of our rows; only levels that both have."""
    types = {"layer": "Int64", "epoch": ours["epoch"].dtype}
    return theirs.dropna(subset="value").astype(types).merge(ours.astype(types), on=keys(theirs))


def spread_of_teachers(table: pd.DataFrame, spread: pd.DataFrame | None) -> np.ndarray:
    """The standard deviation over students of different teachers, for each row of a table, (rows,).

    spread: quantity, layer, epoch and std; between epochs the values are interpolated, after the last epoch they stay.
    NaN for a quantity or layer that `spread` lacks.
    """
    found = np.full(len(table), np.nan)
    if spread is not None:
        for (quantity, layer), rows in spread.groupby(["quantity", spread["layer"].fillna(-1)]):
            here = (table["quantity"] == quantity) & (table["layer"].fillna(-1) == layer)
            found[here] = np.interp(table.loc[here, "epoch"], rows["epoch"], rows["std"])
    return found


def curve_summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each published curve in a table of rows by :func:`compared`, in the order of the table.

    Columns: all that tell curves apart, points (compared), coverage (share of the published levels that are compared),
    within (share of points within UNITS), greatest (departure), at (the epoch of that departure), teachers. The numbers
    on departures are NaN if all units are.
    """
    curve = [key for key in ("file", "experiment", *keys(table)) if key in table and key != "epoch"]
    rows = []
    for _, points in table.groupby(curve, dropna=False, sort=False):
        sizes = points["departure"].abs()
        worst = points.loc[sizes.idxmax()] if sizes.notna().any() else pd.Series({"departure": np.nan, "epoch": np.nan})
        rows.append({
            **points.iloc[0][curve], "points": len(points), "coverage": len(points) / points["published"].iloc[0],
            "within": (sizes.dropna() <= UNITS).mean(), "greatest": worst["departure"], "at": worst["epoch"],
            "teachers": points["teachers"].iloc[0],
        })  # fmt: skip
    return pd.DataFrame(rows)


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
    ours = results.table.dropna(subset=["layer", "value"]).groupby(names)["value"].agg(["mean", "std", "count"])
    ours = ours.rename(columns={"count": "seeds"}).reset_index()
    table = joined(ours, pd.concat(levels).dropna(subset="layer"))
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
