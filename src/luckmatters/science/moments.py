"""Means and variances of activations that come in parts, in memory that does not grow with the number of samples.

Parts are joined by the pairwise rule for means and sums of squared deviations (Chan, Golub, LeVeque), so that no
precision is lost to large means.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from luckmatters.science.networks import BatchNorm, Networks

# Centering a constant node in float32 leaves rounding errors of about 1e-7 of the node's size. A node whose spread is
# below ten times this size counts as constant.
CONSTANT = 1e-6
# The most activations of a layer that are held at once: on a CPU as many as stay in cache, on a graphics card 1 GiB.
ROOM = {"cpu": 2**21, "cuda": 2**28}


@dataclass
class Moments:
    """Count, mean and sum of squared deviations of nodes' activations.

    count: the number of values of each node; mean, square: mean and sum of squared deviations, (S, n), float64.
    """

    count: int
    mean: Tensor
    square: Tensor

    @classmethod
    def of(cls, x: Tensor) -> tuple["Moments", Tensor]:
        """The moments of activations, and the activations minus the means; torch.var_mean takes far longer.

        x: (S, n, P).
        """
        mean = x.mean(2, keepdim=True)
        centered = x - mean
        square = torch.linalg.vector_norm(centered, dim=2).double().square()
        return cls(x.shape[2], mean[..., 0].double(), square), centered

    def joined(self, other: "Moments") -> "Moments":
        """The moments of the values of both."""
        shift, count = other.mean - self.mean, self.count + other.count
        square = self.square + other.square + self.count * other.count / count * shift.square()
        return Moments(count, self.mean + shift * other.count / count, square)

    def constant(self) -> Tensor:
        """Which nodes have zero variance, (S, n), bool."""
        return self.square <= CONSTANT**2 * (self.square + self.count * self.mean.square())

    def spread(self) -> Tensor:
        """The standard deviation of every node, (S, n)."""
        return (self.square / self.count).sqrt()


def in_parts(x: Tensor, networks: Networks) -> Iterator[Tensor]:
    """Parts of the samples, each so small that the widest layer of all networks has room.

    x: samples, (S or 1, n_in, N).
    """
    lowest = networks.weights[0]
    positions = x.shape[1] // lowest.shape[2] if lowest.dim() > 3 else 1
    values = max(networks.seeds, len(x)) * positions * max(networks.widths)
    yield from x.split(max(1, ROOM[x.device.type] // values), dim=2)


def with_statistics_of(networks: Networks, x: Tensor) -> Networks:
    """The networks with the samples' means and variances as running statistics of BatchNorm.

    Before training the running statistics say nothing of a network: they start at mean 0 and variance 1.
    x: samples, (S or 1, n_in, N).
    """
    norms: list[BatchNorm] = []
    for index, norm in enumerate(networks.norms):
        below = Networks(networks.weights[: index + 1], networks.biases[: index + 1], norms, networks.place)
        moments: Moments | None = None
        for part in in_parts(x.expand(networks.seeds, -1, -1), networks):
            z = below.activations(part)[-1]  # pre-activations
            new, _ = Moments.of(z.relu() if networks.place == "after" else z)
            moments = moments.joined(new) if moments else new
        statistics = (moments.mean, moments.square / moments.count)
        norms.append(BatchNorm(norm.weight, norm.bias, *(value.to(norm.weight.dtype) for value in statistics)))
    return Networks(networks.weights, networks.biases, norms, networks.place)
