"""Pairs of teacher and student nodes, and how much of a matrix between teacher and student lies on these pairs."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def match(rho: Tensor) -> Tensor:
    """The student node matched to each teacher node, none twice, so that the sum of ρ is greatest.

    rho: (S, n°, n), with n ≥ n°; NaN counts as 0. Returns indices, (S, n°). If all teacher nodes have different best
    students, the matches are the best students.
    """
    chosen = [linear_sum_assignment(seed, maximize=True)[1] for seed in rho.nan_to_num(0).double().cpu().numpy()]
    return torch.from_numpy(np.stack(chosen)).to(rho.device)


def order(matched: Tensor, students: int) -> Tensor:
    """All student nodes, (S, students): first the matched nodes in the order of teacher nodes, then the other nodes.

    matched: student nodes, (S, n°); students: the number of student nodes.
    """
    rest = torch.ones(len(matched), students, dtype=torch.bool, device=matched.device).scatter_(1, matched, False)
    others = rest.nonzero()[:, 1].view(len(matched), -1)
    return torch.cat([matched, others], 1)


def dominance(block: Tensor, used: Tensor) -> Tensor:
    """How much a matched block is diagonal: mean |diagonal| over mean |off-diagonal|, (S,).

    block: (S, n°, n°), a row for the matched student of each teacher node, a column for each teacher node.
    used: the teacher nodes that count, (S, n°), bool; a dead teacher node has no match. NaN if fewer than two count.
    """
    size = block.abs().double()
    both = used[:, :, None] & used[:, None]
    diagonal = torch.eye(block.shape[1], dtype=torch.bool, device=block.device) & both
    return _mean(size, diagonal) / _mean(size, both & ~diagonal)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """The mean of a matrix's entries at marked places, (S, n, n) -> (S,)."""
    return (values * where).sum((1, 2)) / where.sum((1, 2))


def share(matrix: Tensor, matched: Tensor) -> Tensor:
    """The matched student's share of each teacher node's column, (S, n°): |entry| over the sum of |entries|.

    matrix: (S, n, n°); matched: student nodes, (S, n°). NaN for a column of zeros.
    """
    size = matrix.abs().double()
    return size.gather(1, matched[:, None])[:, 0] / size.sum(1)


def leads(matrix: Tensor, matched: Tensor) -> Tensor:
    """Whether each teacher node's matched student has the greatest absolute value in the column, (S, n°), bool.

    matrix: (S, n, n°); matched: student nodes, (S, n°).
    """
    size = matrix.abs()
    return size.gather(1, matched[:, None])[:, 0] >= size.amax(1)


def fan_in_cosine(
    theirs: Tensor, ours: Tensor, winner: Tensor, below: Tensor | None = None, live: Tensor | None = None
) -> Tensor:
    """The cosine between the fan-in weights of each teacher node and of its best student, without biases, (S, n°).

    theirs: the teacher's weights, (S or 1, n°, n°_below, …), in convolutions with the kernel's axes.
    ours: the student's weights, (S, n, n_below, …), likewise.
    winner: the best student of each teacher node, (S, n°).
    below: coefficients that turn weights on student nodes of the layer below into weights on teacher nodes,
    (S, n_below, n°_below); see :meth:`luckmatters.science.overlap.Overlap.substitution`. None: both layers read the
    same inputs.
    live: the teacher nodes of the layer below that count, (S, n°_below); needed with ``below``.
    The cosine is 0 where the student's weights are all zero, NaN where the teacher node's weights are.
    """
    theirs, ours = (weight.reshape(*weight.shape[:3], -1) for weight in (theirs, ours))  # (S, n, n_below, k · k)
    chosen = ours.take_along_dim(winner.long()[..., None, None], 1)
    if below is not None:
        chosen = torch.einsum("sjik,sig->sjgk", chosen, below)
        theirs = theirs * live[:, None, :, None]
    product = (chosen * theirs).sum((2, 3))
    sizes = chosen.norm(dim=(2, 3)), theirs.norm(dim=(2, 3)).expand_as(product)
    return (product / (sizes[0] * sizes[1])).masked_fill((sizes[0] == 0) & (sizes[1] > 0), 0)
