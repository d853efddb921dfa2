"""GAUS inputs: x ~ N(0, std² I), drawn from separate random streams for each seed (paper, Section 5)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

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
    """

    dimension: int
    std: float
    samples: int
    infinite: bool
    batch: int
    device: str = "cpu"

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
        data = self._draw([generator("gaus-finite", seed) for seed in seeds], self.samples)
        shuffles = [generator("gaus-shuffle", seed, epoch) for seed in seeds]
        order = torch.stack([torch.from_numpy(g.permutation(self.samples)) for g in shuffles]).to(self.device)
        for chosen in order.split(BLOCK * self.batch, dim=1):
            yield torch.stack([samples[:, columns] for samples, columns in zip(data, chosen, strict=True)])
