"""The sign of BatchNorm biases: counts, what a mean and a standard deviation alone say of them, what was published.

NumPy and pandas alone: figures and verdicts use it too.
"""

import math

import numpy as np
import pandas as pd

MOMENTS = ("bias_mean", "bias_std", "weight_mean", "weight_std")
MOMENT_ROUNDING = 0.0005  # published to three decimals
SHARE_TOLERANCE = 0.01  # percentage points; published to two decimals


def signs(bias: np.ndarray) -> dict[str, np.ndarray]:
    """How many biases (…, n) there are, and how many are below, at and above zero, each (…,)."""
    return {
        "channels": np.full(bias.shape[:-1], bias.shape[-1]),
        "negative": (bias < 0).sum(-1),
        "zero": (bias == 0).sum(-1),
        "positive": (bias > 0).sum(-1),
    }


def negative_share_bounds(mean: float, std: float, *, rounding: float = 0.0) -> tuple[float, float]:
    """The least and the greatest share of values below zero that their mean and standard deviation allow.

    Cantelli's inequality: of values with mean μ < 0 and variance σ², at most σ² / (σ² + μ²) are 0 or above; likewise
    for μ > 0. It holds for any values, and for a standard deviation of either divisor, n or n − 1 (which is greater).
    rounding: mean and std are known to within this.
    """
    low, high = mean - rounding, mean + rounding
    variance = (std + rounding) ** 2
    least = 1 - variance / (variance + high**2) if high < 0 else 0.0
    most = variance / (variance + low**2) if low > 0 else 1.0
    return least, most


def likely_negative_share(mean: float, std: float) -> float:
    """The share of values below zero if they were normal (all equal if std = 0), which lies between those bounds."""
    if std == 0:
        return float(mean < 0)
    return 0.5 * math.erfc(mean / std / math.sqrt(2))


def by_layer(table: pd.DataFrame) -> pd.DataFrame:
    """One network's numbers of whole layers: index layer, a column a quantity.

    table: as the kind ``bn-bias`` leaves it.
    """
    return table[table["node"].isna()].pivot(index="layer", columns="quantity", values="value")


def has_weights(layers: pd.DataFrame) -> bool:
    """Whether the numbers are of the weights themselves, and not only published ones."""
    return "negative" in layers


def compared(layers: pd.DataFrame) -> pd.DataFrame:
    """Every published number of a network against its weights: columns layer, quantity, ours, published, met.

    Shares are compared by the published rule, n minus the number above zero, to 0.01 percentage points; moments to
    three decimals.
    """
    ours = layers.assign(not_positive=layers["channels"] - layers["positive"])
    frames = []
    for name in ("not_positive", *MOMENTS):
        if f"published_{name}" not in layers:
            continue
        unit = 100 / layers["channels"] if name == "not_positive" else 1.0
        frame = pd.DataFrame({"quantity": name, "ours": ours[name], "published": layers[f"published_{name}"]})
        tolerance = SHARE_TOLERANCE if name == "not_positive" else MOMENT_ROUNDING
        rounding = 1e-6  # of float32
        frame["met"] = (frame["ours"] - frame["published"]).abs() * unit <= tolerance + rounding
        frames.append(frame.reset_index())
    return pd.concat(frames, ignore_index=True)


def share_bounds(layers: pd.DataFrame) -> pd.DataFrame:
    """Share of negative biases of each layer: index layer, columns low, likely, high.

    Counted (strictly below zero) where the weights are there; else from published means and standard deviations. Raises
    KeyError if neither is.
    """
    if has_weights(layers):
        share = layers["negative"] / layers["channels"]
        return pd.DataFrame({"low": share, "likely": share, "high": share})
    moments = layers[["published_bias_mean", "published_bias_std"]].itertuples(index=False)
    rows = [
        (*negative_share_bounds(mean, std, rounding=MOMENT_ROUNDING), likely_negative_share(mean, std))
        for mean, std in moments
    ]
    return pd.DataFrame(rows, index=layers.index, columns=["low", "high", "likely"])
