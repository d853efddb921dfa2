"""The sign of BatchNorm biases: counts, bounds from a mean and a standard deviation, and published numbers.

Uses NumPy and pandas alone, since figures and verdicts import this module.
"""

import math

import numpy as np
import pandas as pd

MOMENTS = ("bias_mean", "bias_std", "weight_mean", "weight_std")
MOMENT_ROUNDING = 0.0005  # moments are published to three decimals
SHARE_TOLERANCE = 0.01  # percentage points; shares are published to two decimals


def signs(bias: np.ndarray) -> dict[str, np.ndarray]:
    """Counts of all, negative, zero and positive biases, each (…,).

    bias: (…, n).
    """
    return {
        "channels": np.full(bias.shape[:-1], bias.shape[-1]),
        "negative": (bias < 0).sum(-1),
        "zero": (bias == 0).sum(-1),
        "positive": (bias > 0).sum(-1),
    }


def negative_share_bounds(mean: float, std: float, *, rounding: float = 0.0) -> tuple[float, float]:
    """The least and the greatest share of negative values that a mean and a standard deviation allow.

    Cantelli's inequality: among values with mean μ < 0 and variance σ², a share of at most σ² / (σ² + μ²) is 0 or
    above. The case μ > 0 is symmetric. The bound holds for any values. The divisor of the variance may be n or n − 1:
    n − 1 gives the greater variance and a wider bound.
    rounding: the greatest error of mean and std.
    """
    low, high = mean - rounding, mean + rounding
    variance = (std + rounding) ** 2
    least = 1 - variance / (variance + high**2) if high < 0 else 0.0
    most = variance / (variance + low**2) if low > 0 else 1.0
    return least, most


def likely_negative_share(mean: float, std: float) -> float:
    """The share of negative values in a normal distribution; it lies within :func:`negative_share_bounds`.

    std = 0: all values equal the mean.
    """
    if std == 0:
        return float(mean < 0)
    return 0.5 * math.erfc(mean / std / math.sqrt(2))


def by_layer(table: pd.DataFrame) -> pd.DataFrame:
    """The quantities of a network's whole layers: index layer, a column for each quantity.

    table: a network's rows of the table that the kind ``bn-bias`` writes.
    """
    return table[table["node"].isna()].pivot(index="layer", columns="quantity", values="value")


def has_weights(layers: pd.DataFrame) -> bool:
    """Whether the network's weights were available, so that the table has more than published numbers."""
    return "negative" in layers


def compared(layers: pd.DataFrame) -> pd.DataFrame:
    """Published numbers of a network beside the numbers of its weights: columns layer, quantity, ours, published, met.

    Shares follow the published rule, n minus the number above zero, and may differ by 0.01 percentage points. Moments
    must agree to three decimals.
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
    """The share of negative biases of each layer: index layer, columns low, likely, high.

    With weights the share is counted, strictly below zero. Without weights it is bounded by published means and
    standard deviations. Raises KeyError if the table has neither.
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
