"""Overlap between teacher and student nodes: ρ, ρ̄, ranks (paper, Section 5: normalized correlation, mean rank)."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Centering a constant node in float32 leaves rounding of about 1e-7 of its size; a node whose spread is below ten
# times that is constant as far as this precision can tell.
CONSTANT = 1e-6


def standardize(activation: Tensor) -> tuple[Tensor, Tensor]:
    """Center each node of (S, n, N) and scale it to unit norm over the N samples.

    Returns the standardized activations, all zero for a node with zero variance, and which nodes those are,
    shape (S, n), bool.
    """
    centered = activation - activation.mean(2, keepdim=True)
    norm = centered.norm(dim=2)
    constant = norm <= CONSTANT * activation.norm(dim=2)
    inverse = torch.where(constant, torch.zeros_like(norm), 1 / norm)
    return torch.where(constant[..., None], torch.zeros_like(centered), centered * inverse[..., None]), constant


def correlation(teacher: Tensor, student: Tensor) -> Tensor:
    """ρ of every teacher node with every student node of a layer.

    teacher (S or 1, n°, N) and student (S, n, N) over the same samples give (S, n°, n) in [-1, 1]; a node with zero
    variance has ρ = 0.
    """
    return _correlate(standardize(teacher)[0], standardize(student)[0])


def _correlate(teacher: Tensor, student: Tensor) -> Tensor:
    return torch.matmul(teacher, student.transpose(1, 2)).clamp_(-1, 1)  # (S, n°, N) x (S, N, n) -> (S, n°, n)


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


def measure(teacher: Tensor, student: Tensor) -> LayerOverlap:
    """Summarize the overlap of a layer's activations, teacher (S or 1, n°, N) and student (S, n, N)."""
    teacher, dead_teachers = standardize(teacher)
    student, dead_students = standardize(student)
    rho = _correlate(teacher, student)
    top = rho.topk(min(2, rho.shape[2]), dim=2).values
    return LayerOverlap(
        best=top[..., 0],
        second=top[..., 1] if rho.shape[2] > 1 else torch.full_like(top[..., 0], torch.nan),
        winner=rho.argmax(2),
        rank=rank(rho),
        dead_teachers=dead_teachers.sum(1).expand(len(rho)),
        dead_students=dead_students.sum(1),
    )
