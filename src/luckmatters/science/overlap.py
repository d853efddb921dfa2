"""Overlap between teacher and student nodes: ρ, ρ̄, ranks (paper, Section 5: normalized correlation, mean rank).

A teacher node with zero variance on the samples is dead: it can be nobody's, and is left out of means over teacher
nodes. (The authors count it as 0, which quantities for the comparison with published curves do too.) A dead student has
ρ = 0 with every node.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from luckmatters.science.moments import Moments


class Overlap:
    """Gathers what ρ needs from activations that come a part at a time, in memory that does not grow with their number.

    Each part is centered by its own mean; see :mod:`luckmatters.science.moments` for how parts are joined.
    """

    def __init__(self) -> None:
        self._dtype = torch.float32
        self._teacher: Moments | None = None
        self._student: Moments | None = None
        self._cross: Tensor | None = None

    def add(self, teacher: Tensor, student: Tensor) -> None:
        """A part of a layer's activations, teacher (S or 1, n°, P) and student (S, n, P) on the same samples."""
        self._dtype = student.dtype
        (its, teacher), (ours, student) = Moments.of(teacher), Moments.of(student)
        cross = torch.matmul(teacher, student.transpose(1, 2)).double()  # (S, n°, P) x (S, P, n) -> (S, n°, n)
        if self._cross is None:
            self._teacher, self._student, self._cross = its, ours, cross
            return
        shift = [new.mean - old.mean for new, old in ((its, self._teacher), (ours, self._student))]
        weight = its.count * self._teacher.count / (its.count + self._teacher.count)
        self._cross += cross + weight * shift[0][..., None] * shift[1][:, None]
        self._teacher, self._student = self._teacher.joined(its), self._student.joined(ours)

    def split(self) -> tuple["Overlap", "Overlap"]:
        """The same for the first and the second half of the teacher nodes."""
        half = self._cross.shape[1] // 2
        parts = Overlap(), Overlap()
        for part, nodes in zip(parts, (slice(None, half), slice(half, None)), strict=True):
            its = self._teacher
            part._dtype, part._student, part._cross = self._dtype, self._student, self._cross[:, nodes]
            part._teacher = Moments(its.count, its.mean[:, nodes], its.square[:, nodes])
        return parts

    def correlation(self) -> Tensor:
        """ρ of every teacher node with every student node, (S, n°, n) in [-1, 1]; 0 for a node with zero variance."""
        inverse = [torch.where(one.constant(), 0.0, one.square.rsqrt()) for one in (self._teacher, self._student)]
        rho = self._cross * inverse[0][..., None] * inverse[1][:, None]
        return rho.clamp_(-1, 1).to(self._dtype)

    def live(self) -> Tensor:
        """Which teacher nodes have any variance, (S, n°), bool."""
        return (~self._teacher.constant()).expand(len(self._cross), -1)

    def dead_students(self) -> Tensor:
        """Which student nodes have none, (S, n), bool."""
        return self._student.constant()

    def student_spread(self) -> Tensor:
        """The standard deviation of every student node's activation, (S, n)."""
        return self._student.spread().to(self._dtype)

    def best(self) -> tuple[Tensor, Tensor]:
        """The greatest ρ of each teacher node, and the student that has it (the first of equals), both (S, n°)."""
        return self.correlation().max(2)

    def floor(self) -> Tensor:
        """Where teacher nodes stand for students too: the best ρ of each with another one, (S, n°); NaN without any."""
        rho = self.correlation()
        same = torch.eye(rho.shape[1], dtype=torch.bool, device=rho.device)
        best = rho.masked_fill(same, -torch.inf).amax(2)
        return best.masked_fill(best.isneginf(), torch.nan)

    def closest(self) -> Tensor:
        """The live teacher node that each student has the greatest ρ with, (S, n), integers; −1 for a dead student."""
        rho = self.correlation().masked_fill(~self.live()[..., None], -torch.inf)
        nobody = self.dead_students() | rho.isneginf().all(1)
        return compact(rho.argmax(1).masked_fill(nobody, -1), rho.shape[1])

    def substitution(self) -> Tensor:
        """The coefficient of each student's activation on that of its closest teacher node, (S, n, n°).

        ρ_ki · σ_i / σ°_k, or 0 if ρ is negative; 0 for all other teacher nodes.
        """
        rho, closest = self.correlation().transpose(1, 2), self.closest().long()[..., None]
        its = self._teacher.spread().where(self.live(), 1.0).to(self._dtype)
        size = rho.clamp(min=0) * self.student_spread()[..., None] / its[:, None]
        chosen = torch.zeros_like(size, dtype=torch.bool).scatter_(2, closest.clamp(min=0), closest >= 0)
        return size * chosen

    def measure(self) -> "LayerOverlap":
        """What is kept of ρ."""
        rho = self.correlation()
        top = rho.topk(min(2, rho.shape[2]), dim=2).values
        return LayerOverlap(
            best=top[..., 0],
            second=top[..., 1] if rho.shape[2] > 1 else torch.full_like(top[..., 0], torch.nan),
            winner=compact(rho.argmax(2), rho.shape[2]),
            rank=rank(rho),
            live=self.live(),
            closest=self.closest(),
            dead_students=self.dead_students().sum(1),
        )


def rank(rho: Tensor) -> Tensor:
    """For each teacher node, how many students have a greater ρ than this one; (S, n°, n) -> the same, integers."""
    ascending = rho.sort(dim=-1).values
    greater = rho.shape[-1] - torch.searchsorted(ascending, rho.contiguous(), right=True)
    return compact(greater, rho.shape[-1])


def compact(numbers: Tensor, below: int) -> Tensor:
    """The same in as few bytes as numbers below that one need."""
    return numbers.to(torch.int16 if below < 2**15 else torch.int32)


def over_live(value: Tensor, live: Tensor) -> Tensor:
    """The mean over teacher nodes that are not dead, (…, n°) -> (…), float64."""
    return value.double().where(live, torch.nan).nanmean(-1)


@dataclass
class LayerOverlap:
    """What is kept of one layer's ρ at one moment.

    best, second: greatest and second greatest ρ of each teacher node, (S, n°); second is NaN if there is but one
    student; winner: index of the best student (the first of equals), (S, n°); rank: see :func:`rank`, (S, n°, n); live:
    the teacher nodes that are not dead, (S, n°); closest: see :meth:`Overlap.closest`; dead_students: how many, (S,).
    """

    best: Tensor
    second: Tensor
    winner: Tensor
    rank: Tensor
    live: Tensor
    closest: Tensor
    dead_students: Tensor
