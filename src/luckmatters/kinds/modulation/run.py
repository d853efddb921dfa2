"""Kind ``modulation``: β* and H* between student and teacher nodes before and after training (paper, Section 5)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from luckmatters.learning.data import Data, select_teachers
from luckmatters.learning.evaluation import overlaps
from luckmatters.learning.students import snapshot
from luckmatters.science.alignment import dominance, leads, match, order, share
from luckmatters.science.modulation import averages
from luckmatters.science.networks import Networks
from luckmatters.settings.experiment import Run
from luckmatters.tables.history import Result
from luckmatters.tables.rows import joined, rows

MATRICES = ("beta_star", "h_star")


def measure(run: Run, teachers: Networks, data: Data, tensors: dict[str, Tensor], seeds: Sequence[int]) -> Result:
    """E[β*] and E[H*] over evaluation samples at the first and the last epoch of a finished training run.

    Students are matched to teacher nodes by ρ at the last epoch. The teacher's BatchNorm is folded into the weights.
    teachers, data, tensors: the training run's teacher file, samples and saved tensors.
    Table: columns seed, epoch, layer, quantity, value. Quantities of each of beta_star and h_star: dominance
    (:func:`alignment.dominance`), share and lead (:func:`alignment.share` and :func:`alignment.leads`, means over
    teacher nodes that are not dead). A seed that has diverged is NaN at both epochs.
    Tensors: ``<matrix>/<epoch>/<layer>`` (S, n, n°), students in the order of :func:`alignment.order`.
    """
    trained = run.source.settings
    teachers = select_teachers(run.source, teachers, seeds).folded()
    x, _ = data.evaluation_set(seeds, run.settings.samples)
    students = {epoch: snapshot(tensors, epoch) for epoch in (0, trained.training.epochs)}
    gathered, _ = overlaps(teachers, students[trained.training.epochs], x)
    rho = [overlap.correlation() for overlap in gathered]
    finite = students[trained.training.epochs].finite()
    matched = [match(correlation) for correlation in rho]
    frames, kept = [], {}
    for epoch, networks in students.items():
        for layer, means in enumerate(averages(networks, teachers, x, own=False)):
            used = gathered[layer].live()
            for name in MATRICES:
                matrix = getattr(means, name)[:, :-1, :-1]  # without the constant nodes
                for quantity, value in numbers(matrix, matched[layer], used).items():
                    value = value.double().where(finite, torch.nan)
                    frames.append(rows(f"{name}_{quantity}", value, layer, epoch=[epoch], seed=seeds))
                index = order(matched[layer], matrix.shape[1])[..., None].expand(-1, -1, matrix.shape[2])
                kept[f"{name}/{epoch}/{layer}"] = matrix.gather(1, index)
    return Result(joined(frames), kept)


def numbers(matrix: Tensor, matched: Tensor, used: Tensor) -> dict[str, Tensor]:
    """dominance, share and lead of a matrix (S, n, n°), each (S,).

    matched: the student of each teacher node, (S, n°). used: the teacher nodes that are not dead, (S, n°), bool.
    """
    block = matrix.gather(1, matched[..., None].expand(-1, -1, matrix.shape[2]))
    return {
        "dominance": dominance(block, used),
        "share": share(matrix, matched).where(used, torch.nan).nanmean(1),
        "lead": leads(matrix, matched).double().where(used, torch.nan).nanmean(1),
    }
