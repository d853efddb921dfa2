"""The best of several independent draws: the best initial overlap of a teacher node as a number of tickets.

Two predictions of the greatest ρ among the n student nodes of a layer. The first takes single overlaps from a pool of
measured values. The second takes random directions, and ρ from the angle by the arc-cosine kernel (Cho, Saul 2009).
"""

import numpy as np
from scipy.special import betaincinv, gammaln

NODES = 256  # of the integration over quantiles; the error is below 1e-6 for the numbers of draws that occur


def expected_best(pool: np.ndarray, draws: int) -> np.ndarray:
    """The expected greatest of `draws` independent values, without bias.

    pool: independent values, (…, M). The result, (…), is the mean of the greatest value over all subsets of that size.
    Raises ValueError if the pool has fewer values than draws.
    """
    size = _checked(pool, draws)
    k = np.arange(draws, size + 1)  # the k-th smallest is the greatest of the subsets that take the rest from below
    weights = np.exp(_log_subsets(k - 1, draws - 1) - _log_subsets(size, draws))
    return np.sort(pool, axis=-1)[..., draws - 1 :] @ weights


def best_below(pool: np.ndarray, draws: int, value: np.ndarray) -> np.ndarray:
    """The probability that the greatest of `draws` independent values is at most a value, without bias.

    pool: independent values, (…, M); value: (…). The result, (…), is the share of the subsets of that size.
    Where the value is the greatest of as many draws of the same kind, the mean of the result is 1/2.
    Raises ValueError if the pool has fewer values than draws.
    """
    size = _checked(pool, draws)
    below = (pool <= value[..., None]).sum(-1)
    share = np.exp(_log_subsets(np.maximum(below, draws), draws) - _log_subsets(size, draws))
    return np.where(below >= draws, share, 0.0)


def relu_correlation(cosine: np.ndarray) -> np.ndarray:
    """ρ of two ReLU nodes without biases under N(0, I), from the cosine of the weights.

    E[f g] = (sin θ + (π − θ) cos θ) / 2π for weights of length 1, the means are 1/√(2π), the variances 1/2 − 1/2π.
    """
    angle = np.arccos(np.clip(cosine, -1, 1))
    return (np.sin(angle) + (np.pi - angle) * np.cos(angle) - 1) / (np.pi - 1)


def best_direction(draws: int, inputs: int) -> float:
    """The expected greatest ρ of a ReLU node with `draws` nodes of independent random directions, without biases.

    (1 + cosine) / 2 of random directions in n dimensions has the distribution Beta((n − 1)/2, (n − 1)/2). The greatest
    of N values has the quantile q where a single value has the quantile q^(1/N).
    inputs: the number of dimensions, 2 or more.
    """
    points, weights = np.polynomial.legendre.leggauss(NODES)
    quantiles = ((1 + points) / 2) ** (1 / draws)
    half = (inputs - 1) / 2
    return float(relu_correlation(2 * betaincinv(half, half, quantiles) - 1) @ weights / 2)


def _checked(pool: np.ndarray, draws: int) -> int:
    """The number of values in a pool. Raises ValueError if draws are none or more than these."""
    if not 1 <= draws <= pool.shape[-1]:
        raise ValueError(f"{draws} draws need a pool of at least as many values, got {pool.shape[-1]}")
    return pool.shape[-1]


def _log_subsets(size: np.ndarray | int, chosen: int) -> np.ndarray:
    """The logarithm of the number of subsets with `chosen` elements."""
    return gammaln(size + 1) - gammaln(chosen + 1) - gammaln(size - chosen + 1)
