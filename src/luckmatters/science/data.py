"""GAUS inputs: x ~ N(0, std² I), drawn from separate random streams for each seed (paper, Section 5)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from luckmatters.science.finite import FiniteSet, of_samples
from luckmatters.science.random import generator

BLOCK = 16  # batches drawn at a time: large enough to hide the cost of a call, small enough to stay in cache


@dataclass(frozen=True)
class Gaus:
    """A source of Gaussian inputs.

    dimension: inputs of a sample.
    std: the standard deviation of an input.
    samples: the number of samples in an epoch.
    infinite: whether every epoch has new samples; otherwise every epoch shuffles the same set of samples anew.
    batch: the number of samples in a step.
    finite: the set of samples where it is smaller than an epoch or its targets are altered; not with `infinite`.
    """

    dimension: int
    std: float
    samples: int
    infinite: bool
    batch: int
    device: str = "cpu"
    finite: FiniteSet | None = None

    def blocks(self, seeds: Sequence[int], epoch: int) -> Iterator[Tensor]:
        """The samples of an epoch, a few batches at a time, (S, dimension, at most BLOCK * batch)."""
        draw = self._new if self.infinite else self._reused
        yield from draw(seeds, epoch)

    def evaluation_set(self, seeds: Sequence[int], samples: int) -> tuple[Tensor, None]:
        """Evaluation samples of each seed, (S, dimension, samples), the same at every call; and None for labels."""
        return self._draw([generator("gaus-evaluation", seed) for seed in seeds], samples), None

    def _draw(self, generators: list[np.random.Generator], samples: int) -> Tensor:
        """New samples from each seed's generator, (S, dimension, samples)."""
        x = np.empty((len(generators), self.dimension, samples), dtype=np.float32)
        for seed, stream in zip(x, generators, strict=True):
            stream.standard_normal(dtype=np.float32, out=seed)
        return torch.from_numpy(x).mul_(self.std).to(self.device)

    def _sizes(self) -> Iterator[int]:
        """The number of samples in each block of an epoch."""
        whole, rest = divmod(self.samples, BLOCK * self.batch)
        yield from [BLOCK * self.batch] * whole + [rest] * (rest > 0)

    def _new(self, seeds: Sequence[int], epoch: int) -> Iterator[Tensor]:
        """Blocks of new samples."""
        streams = [generator("gaus", seed, epoch) for seed in seeds]
        for size in self._sizes():
            yield self._draw(streams, size)

    def _reused(self, seeds: Sequence[int], epoch: int) -> Iterator[Tensor]:
        """Blocks of each seed's finite set of samples, shuffled for the epoch."""
        x, _ = self.training_set(seeds)
        for chosen in self.order(seeds, epoch).split(BLOCK * self.batch, dim=1):
            yield of_samples(x, chosen)

    def training_set(self, seeds: Sequence[int]) -> tuple[Tensor, None]:
        """The samples of each seed's finite set, (S, dimension, N); and None for labels."""
        return self._draw([generator("gaus-finite", seed) for seed in seeds], self._set.size), None

    def order(self, seeds: Sequence[int], epoch: int) -> Tensor:
        """The samples of a finite set in the order of an epoch: indices, (S, samples)."""
        orders = [self._set.order(generator("gaus-shuffle", seed, epoch), self.samples) for seed in seeds]
        return torch.stack(orders).to(self.device)

    @property
    def _set(self) -> FiniteSet:
        return self.finite or FiniteSet(self.samples)
