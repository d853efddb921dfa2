"""Overlap between teacher and student nodes: ρ, ρ̄, ranks (paper, Section 5: normalized correlation, mean rank).

A teacher node with zero variance on the samples is dead. A dead teacher node is no student's closest teacher node, and
means over teacher nodes leave it out. The authors count ρ of a dead teacher node as 0, and so do quantities that are
compared with published curves. A dead student node has ρ = 0 with every teacher node.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from luckmatters.science.moments import Moments


class Overlap:
    """ρ of a layer from activations that come in parts, in memory that does not grow with the number of samples.

    The mean of each part is subtracted from the part. See :mod:`luckmatters.science.moments` for how parts are joined.
    """

    def __init__(self) -> None:
        self._dtype = torch.float32
        self._teacher: Moments | None = None
        self._student: Moments | None = None
        self._cross: Tensor | None = None

    def add(self, teacher: Tensor, student: Tensor) -> None:
        """Add activations of a layer on a part of the samples.

        teacher: (S or 1, n°, P); student: (S, n, P), on the same samples.
        """
        self._dtype = student.dtype
        (theirs, teacher), (ours, student) = Moments.of(teacher), Moments.of(student)
        cross = torch.matmul(teacher, student.transpose(1, 2)).double()  # (S, n°, P) x (S, P, n) -> (S, n°, n)
        if self._cross is None:
            self._teacher, self._student, self._cross = theirs, ours, cross
            return
        shift = [new.mean - old.mean for new, old in ((theirs, self._teacher), (ours, self._student))]
        weight = theirs.count * self._teacher.count / (theirs.count + self._teacher.count)
        self._cross += cross + weight * shift[0][..., None] * shift[1][:, None]
        self._teacher, self._student = self._teacher.joined(theirs), self._student.joined(ours)

    def split(self) -> tuple["Overlap", "Overlap"]:
        """The overlap with the first half of the teacher nodes, and with the second half."""
        half = self._cross.shape[1] // 2
        parts = Overlap(), Overlap()
        for part, nodes in zip(parts, (slice(None, half), slice(half, None)), strict=True):
            moments = self._teacher
            part._dtype, part._student, part._cross = self._dtype, self._student, self._cross[:, nodes]
            part._teacher = Moments(moments.count, moments.mean[:, nodes], moments.square[:, nodes])
        return parts

    def correlation(self) -> Tensor:
        """ρ of every teacher node with every student node, (S, n°, n) in [-1, 1]; 0 for a node with zero variance."""
        sides = self._teacher, self._student
        inverse = [torch.where(moments.constant(), 0.0, moments.square.rsqrt()) for moments in sides]
        rho = self._cross * inverse[0][..., None] * inverse[1][:, None]
        return rho.clamp_(-1, 1).to(self._dtype)

    def live(self) -> Tensor:
        """Whether each teacher node has variance on the samples, (S, n°), bool."""
        return (~self._teacher.constant()).expand(len(self._cross), -1)

    def dead_students(self) -> Tensor:
        """Whether each student node has no variance on the samples, (S, n), bool."""
        return self._student.constant()

    def student_spread(self) -> Tensor:
        """The standard deviation of each student node's activation, (S, n)."""
        return self._student.spread().to(self._dtype)

    def best(self) -> tuple[Tensor, Tensor]:
        """The greatest ρ of each teacher node and the student node with this ρ, the first of equals; both (S, n°)."""
        return self.correlation().max(2)

    def floor(self) -> Tensor:
        """The best ρ of each teacher node with another teacher node, (S, n°); NaN if there is only one teacher node.

        Valid where the activations of the teacher were added as the student's too.
        """
        rho = self.correlation()
        same = torch.eye(rho.shape[1], dtype=torch.bool, device=rho.device)
        best = rho.masked_fill(same, -torch.inf).amax(2)
        return best.masked_fill(best.isneginf(), torch.nan)

    def closest(self) -> Tensor:
        """The live teacher node with the greatest ρ for each student node, (S, n), integers.

        −1 for a dead student node, and for all student nodes if no teacher node is live.
        """
        rho = self.correlation().masked_fill(~self.live()[..., None], -torch.inf)
        nobody = self.dead_students() | rho.isneginf().all(1)
        return compact(rho.argmax(1).masked_fill(nobody, -1), rho.shape[1])

    def substitution(self) -> Tensor:
        """Coefficients that express each student node by the closest teacher node, (S, n, n°).

        The coefficient of student node i on the closest teacher node k is ρ_ki · σ_i / σ°_k, or 0 if ρ_ki is negative.
        The coefficients on all other teacher nodes are 0.
        """
        rho, closest = self.correlation().transpose(1, 2), self.closest().long()[..., None]
        teacher_spread = self._teacher.spread().where(self.live(), 1.0).to(self._dtype)
        size = rho.clamp(min=0) * self.student_spread()[..., None] / teacher_spread[:, None]
        chosen = torch.zeros_like(size, dtype=torch.bool).scatter_(2, closest.clamp(min=0), closest >= 0)
        return size * chosen

    def measure(self) -> "LayerOverlap":
        """The quantities of ρ that a history keeps."""
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
    """The rank of each student node for each teacher node: the number of student nodes with a greater ρ.

    rho: (S, n°, n). Returns integers, (S, n°, n).
    """
    ascending = rho.sort(dim=-1).values
    greater = rho.shape[-1] - torch.searchsorted(ascending, rho.contiguous(), right=True)
    return compact(greater, rho.shape[-1])


def compact(numbers: Tensor, below: int) -> Tensor:
    """Integers in the shorter type, int16 or int32, that holds all numbers below `below`."""
    return numbers.to(torch.int16 if below < 2**15 else torch.int32)


def stands(rho: Tensor, contribution: Tensor, level: float, negligible: float) -> Tensor:
    """Whether each student node stands for each teacher node, (…, n°, n), bool.

    A teacher node that a student node stands for is found.
    rho: (…, n°, n). contribution: of each student node, fan-out norm times spread of the activation, (…, n).
    level: ρ must be above it. negligible: share of the layer's greatest contribution that a student node must have.
    """
    contributes = contribution >= negligible * contribution.amax(-1, keepdim=True)
    return (rho > level) & contributes[..., None, :]


def over_live(value: Tensor, live: Tensor) -> Tensor:
    """The mean over live teacher nodes, (…), float64; NaN if none is live.

    value: (…, n°); live: whether each teacher node counts, (…, n°).
    """
    return value.double().where(live, torch.nan).nanmean(-1)


@dataclass
class LayerOverlap:
    """The quantities of one layer's ρ at one moment.

    best, second: the greatest and second greatest ρ of each teacher node, (S, n°); second is NaN if the layer has a
    single student node.
    winner: the index of each teacher node's best student, the first of equals, (S, n°).
    rank: see :func:`rank`, (S, n°, n).
    live: whether each teacher node has variance, (S, n°).
    closest: see :meth:`Overlap.closest`, (S, n).
    dead_students: the number of dead student nodes, (S,).
    """

    best: Tensor
    second: Tensor
    winner: Tensor
    rank: Tensor
    live: Tensor
    closest: Tensor
    dead_students: Tensor
