"""Which student stands for which teacher node, and how much of a matrix between them lies on those pairs."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def match(rho: Tensor) -> Tensor:
    """One student for each teacher node, none twice, with the greatest sum of ρ; (S, n°, n ≥ n°) -> (S, n°), integers.

    Where the best students of all teacher nodes differ, these are they. NaN counts as 0.
    """
    chosen = [linear_sum_assignment(one, maximize=True)[1] for one in rho.nan_to_num(0).double().cpu().numpy()]
    return torch.from_numpy(np.stack(chosen)).to(rho.device)


def order(matched: Tensor, students: int) -> Tensor:
    """All students, matched ones first in the order of the teacher nodes, the rest as they were; (S, students)."""
    rest = torch.ones(len(matched), students, dtype=torch.bool, device=matched.device).scatter_(1, matched, False)
    others = rest.nonzero()[:, 1].view(len(matched), -1)
    return torch.cat([matched, others], 1)


def dominance(block: Tensor, used: Tensor) -> Tensor:
    """How much a matched block is diagonal: mean |diagonal| over mean |off-diagonal|, (S, n°, n°) -> (S,).

    block: rows are the matched students of the teacher nodes in the columns; used: (S, n°), the teacher nodes that
    count (a dead one has no match). NaN with fewer than two of them.
    """
    size = block.abs().double()
    both = used[:, :, None] & used[:, None]
    diagonal = torch.eye(block.shape[1], dtype=torch.bool, device=block.device) & both
    return _mean(size, diagonal) / _mean(size, both & ~diagonal)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum((1, 2)) / where.sum((1, 2))


def share(matrix: Tensor, matched: Tensor) -> Tensor:
    """The share of each teacher node's absolute mass, over all students, that is its match's; (S, n, n°) -> (S, n°).

    NaN for a column of zeros.
    """
    size = matrix.abs().double()
    return size.gather(1, matched[:, None])[:, 0] / size.sum(1)


def leads(matrix: Tensor, matched: Tensor) -> Tensor:
    """Whether no student has a greater absolute value with a teacher node than its match; (S, n, n°) -> (S, n°)."""
    size = matrix.abs()
    return size.gather(1, matched[:, None])[:, 0] >= size.amax(1)


def fan_in_cosine(
    theirs: Tensor, ours: Tensor, winner: Tensor, below: Tensor | None = None, live: Tensor | None = None
) -> Tensor:
    """The cosine between each teacher node's fan-in weights and those of its best student, without biases, (S, n°).

    theirs: (S or 1, n°, n°_below, …), ours: (S, n, n_below, …), with the kernel's axes in convolutions; winner: the
    best students, (S, n°). below: what students of the layer below say of its teacher nodes (see
    :meth:`luckmatters.science.overlap.Overlap.substitution`), (S, n_below, n°_below), by which a student's weights
    become weights on teacher nodes; live: which of these count, (S, n°_below). Without, layers read the same inputs.
    0 where a student has no such weights, NaN where the teacher node has none.
    """
    theirs, ours = (weight.reshape(*weight.shape[:3], -1) for weight in (theirs, ours))  # (S, n, n_below, k · k)
    chosen = ours.take_along_dim(winner.long()[..., None, None], 1)
    if below is not None:
        chosen = torch.einsum("sjik,sig->sjgk", chosen, below)
        theirs = theirs * live[:, None, :, None]
    product = (chosen * theirs).sum((2, 3))
    sizes = chosen.norm(dim=(2, 3)), theirs.norm(dim=(2, 3)).expand_as(product)
    return (product / (sizes[0] * sizes[1])).masked_fill((sizes[0] == 0) & (sizes[1] > 0), 0)
