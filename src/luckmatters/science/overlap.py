"""Overlap between teacher and student nodes: ρ, ρ̄, ranks (paper, Section 5: normalized correlation, mean rank)."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Centering a constant node in float32 leaves rounding of about 1e-7 of its size; a node whose spread is below ten
# times that is constant as far as this precision can tell.
CONSTANT = 1e-6


@dataclass
class Moments:
    """Of some nodes' activations: how many values, their mean and sum of squared deviations, (S, n), float64."""

    count: int
    mean: Tensor
    square: Tensor

    def constant(self) -> Tensor:
        """Which nodes have zero variance, (S, n), bool."""
        return self.square <= CONSTANT**2 * (self.square + self.count * self.mean.square())


class Overlap:
    """Gathers what ρ needs from activations that come a part at a time, in memory that does not grow with their number.

    Each part is centered by its own mean; parts are joined by the pairwise rule for means and sums of squared
    deviations (Chan, Golub, LeVeque), so that no precision is lost to large means.
    """

    def __init__(self) -> None:
        self._dtype = torch.float32
        self._teacher: Moments | None = None
        self._student: Moments | None = None
        self._cross: Tensor | None = None

    def add(self, teacher: Tensor, student: Tensor) -> None:
        """A part of a layer's activations, teacher (S or 1, n°, P) and student (S, n, P) on the same samples."""
        self._dtype = student.dtype
        means = [x.mean(2, keepdim=True) for x in (teacher, student)]
        teacher, student = teacher - means[0], student - means[1]
        parts = [
            Moments(x.shape[2], mean[..., 0].double(), x.square().sum(2).double())
            for x, mean in zip((teacher, student), means, strict=True)
        ]
        cross = torch.matmul(teacher, student.transpose(1, 2)).double()  # (S, n°, P) x (S, P, n) -> (S, n°, n)
        if self._cross is None:
            (self._teacher, self._student), self._cross = parts, cross
            return
        n = self._teacher.count, parts[0].count
        shift = [new.mean - old.mean for new, old in zip(parts, (self._teacher, self._student), strict=True)]
        weight = n[0] * n[1] / sum(n)
        self._cross += cross + weight * shift[0][..., None] * shift[1][:, None]
        for old, new, moved in zip((self._teacher, self._student), parts, shift, strict=True):
            old.square += new.square + weight * moved.square()
            old.mean += moved * n[1] / sum(n)
            old.count = sum(n)

    def correlation(self) -> Tensor:
        """ρ of every teacher node with every student node, (S, n°, n) in [-1, 1]; 0 for a node with zero variance."""
        inverse = [torch.where(one.constant(), 0.0, one.square.rsqrt()) for one in (self._teacher, self._student)]
        rho = self._cross * inverse[0][..., None] * inverse[1][:, None]
        return rho.clamp_(-1, 1).to(self._dtype)

    def student_spread(self) -> Tensor:
        """The standard deviation of every student node's activation, (S, n)."""
        return (self._student.square / self._student.count).sqrt().to(self._dtype)

    def measure(self) -> "LayerOverlap":
        """What is kept of ρ."""
        rho = self.correlation()
        top = rho.topk(min(2, rho.shape[2]), dim=2).values
        return LayerOverlap(
            best=top[..., 0],
            second=top[..., 1] if rho.shape[2] > 1 else torch.full_like(top[..., 0], torch.nan),
            winner=rho.argmax(2),
            rank=rank(rho),
            dead_teachers=self._teacher.constant().sum(1).expand(len(rho)),
            dead_students=self._student.constant().sum(1),
        )


def rank(rho: Tensor) -> Tensor:
    """For each teacher node, how many students have a greater ρ than this one; (S, n°, n) -> the same, integers."""
    ascending = rho.sort(dim=-1).values
    greater = rho.shape[-1] - torch.searchsorted(ascending, rho.contiguous(), right=True)
    return greater.to(torch.int16 if rho.shape[-1] < 2**15 else torch.int32)


@dataclass
class LayerOverlap:
    """What is kept of one layer's ρ at one moment.

    best, second: greatest and second greatest ρ of each teacher node, (S, n°); second is NaN if there is but one
    student; winner: index of the best student (the first of equals), (S, n°); rank: see :func:`rank`, (S, n°, n);
    dead_teachers, dead_students: nodes with zero variance, (S,).
    """

    best: Tensor
    second: Tensor
    winner: Tensor
    rank: Tensor
    dead_teachers: Tensor
    dead_students: Tensor
