"""Finite training sets: the order of samples in an epoch, noise on targets, and targets without any structure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from luckmatters.science.losses import constant_loss
from luckmatters.science.random import generator


@dataclass(frozen=True)
class FiniteSet:
    """A set of samples that every epoch goes through, and what is done to the targets of the samples.

    size: the number N of different samples.
    noise: the standard deviation of noise on targets, as a share of the targets' spread.
    shuffled: whether targets are permuted among the samples.
    """

    size: int
    noise: float = 0
    shuffled: bool = False

    def order(self, stream: np.random.Generator, samples: int) -> Tensor:
        """Indices of samples in the order of an epoch, (samples,): all N in a new order, then all in another, ….

        samples: the length of the epoch, a multiple of N.
        """
        passes = [stream.permutation(self.size) for _ in range(samples // self.size)]
        return torch.from_numpy(np.concatenate(passes))

    def altered(self, targets: Tensor, seeds: Sequence[int]) -> Tensor:
        """Targets as students are given them: permuted and with noise, each seed from streams of its own.

        targets: clean ones, outputs (S, n_out, N) or labels (S, N). A single standard deviation, the root mean square
        of the outputs' standard deviations, is the spread of all outputs.
        """
        if self.shuffled:
            orders = [torch.from_numpy(generator("target-shuffle", seed).permutation(self.size)) for seed in seeds]
            targets = of_samples(targets, torch.stack(orders).to(targets.device))
        if self.noise:
            draws = [
                generator("target-noise", seed).standard_normal(targets.shape[1:], dtype=np.float32) for seed in seeds
            ]
            noise = torch.from_numpy(np.stack(draws)).to(targets)
            spread = constant_loss(targets).sqrt().to(targets.dtype)
            targets = targets + noise * (self.noise * spread).view(-1, 1, 1)
        return targets


def of_samples(values: Tensor, index: Tensor) -> Tensor:
    """Values of chosen samples: (S, …, N) and indices (S, B) -> (S, …, B)."""
    if values.stride(-1) != 1:  # samples that lie whole in memory stay whole, which is 20 times as fast for images
        return torch.stack([own.T.index_select(0, k) for own, k in zip(values, index, strict=True)]).transpose(1, 2)
    return torch.stack([own.index_select(-1, chosen) for own, chosen in zip(values, index, strict=True)])
