"""Measured levels against published ones whose number of seeds is known."""

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from luckmatters.claims.statistics import CONFIDENCE
from luckmatters.results import Results

KEYS = ["variant", "start", "epoch", "layer", "quantity"]


def departures(results: Results) -> pd.DataFrame:
    """Every published level that was measured, with ours and the difference in its standard errors.

    Columns: variant, start, epoch, layer, quantity, value (published), uncertainty (of its reading), mean, seeds,
    error, departure. The error is that of a difference of two means over seeds, ours and the published one, whose
    seeds are taken to spread as ours do, and of the reading. Empty if nothing was published with its number of seeds.
    """
    levels = [
        frame.assign(variant=variant, published_seeds=frame["seeds"]).drop(columns="seeds")
        for variant, frame in results.published.items()
        if "seeds" in frame
    ]
    if not levels:
        return pd.DataFrame(columns=[*KEYS, "value", "uncertainty", "mean", "seeds", "error", "departure"])
    table = results.table.dropna(subset=["layer", "value"])
    ours = table.astype({"layer": int}).groupby(KEYS)["value"].agg(["mean", "std", "count"]).reset_index()
    found = pd.concat(levels).merge(ours.rename(columns={"count": "seeds"}), on=KEYS)
    sampling = found["std"] ** 2 * (1 / found["seeds"] + 1 / found["published_seeds"])
    error = np.sqrt(sampling + found["uncertainty"] ** 2)
    found = found.assign(error=error, departure=(found["mean"] - found["value"]) / error)
    return found[[*KEYS, "value", "uncertainty", "mean", "seeds", "error", "departure"]]


def joint_tolerance(found: pd.DataFrame) -> float:
    """How many standard errors the largest of these departures may have: Student's t, divided among them all.

    Departures of one run go together, which makes this too generous rather than too strict.
    """
    return float(stdtrit(found["seeds"].min() - 1, 1 - (1 - CONFIDENCE) / 2 / len(found)))
