"""Kind ``tickets-and-cover``: the best initial overlap of each teacher node, and which teacher nodes are found."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from luckmatters.learning.data import Data, select_teachers
from luckmatters.learning.evaluation import overlaps
from luckmatters.learning.shapes import student_widths
from luckmatters.learning.students import snapshot
from luckmatters.science.extremes import best_below, expected_best
from luckmatters.science.moments import with_statistics_of
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.overlap import Overlap, over_live, stands
from luckmatters.settings.experiment import Run
from luckmatters.tables.history import Result
from luckmatters.tables.rows import joined, rows


def measure(run: Run, teachers: Networks, data: Data, tensors: dict[str, Tensor], seeds: Sequence[int]) -> Result:
    """Tickets before training, and teacher nodes that are found, of a finished training run.

    teachers, data, tensors: the training run's teacher file, samples and saved tensors. Before training, BatchNorm has
    the statistics of the evaluation set.
    Table: columns seed, epoch, layer, node (of the teacher), quantity, value. NaN for dead teacher nodes.

    Quantities of a teacher node before training, epoch 0:
    - ticket: the greatest ρ with a student node.
    - predicted_ticket: the expected greatest ρ of as many independent draws, from random students of the same size.
    - luck: the probability that the greatest of these draws is at most the ticket; 1/2 on average where the prediction
      holds.
    Quantities of a teacher node at the last epoch, NaN where the seed has diverged:
    - close: whether a student node has ρ above the level (0/1).
    - found: whether a student node stands for the teacher node (0/1), see :func:`luckmatters.science.overlap.stands`.
    Quantities of a layer at every epoch, means over live teacher nodes:
    - cover: the share of teacher nodes with a student node of ρ above the level.
    """
    trained, settings = run.source.settings, run.settings
    teachers = select_teachers(run.source, teachers, seeds)
    x, _ = data.evaluation_set(seeds, trained.data.evaluation_samples)
    first, last = (snapshot(tensors, epoch) for epoch in (0, trained.training.epochs))
    before, _ = overlaps(teachers, with_statistics_of(first, x), x)
    after, _ = overlaps(teachers, last, x)
    best = [tensors[f"best/{layer}"] for layer in range(len(before))]  # of each layer, (T + 1, S, n°)
    going = torch.stack([layer.isfinite().all(2) for layer in best]).all(0)  # (T + 1, S)
    pools, frames = random_overlaps(run, teachers, x, seeds), []
    for layer, (start, end, pool, norm) in enumerate(zip(before, after, pools, last.fan_out_norms(), strict=True)):
        live, intact = start.live(), last.finite()[:, None]
        ticket, draws = start.best()[0].double().numpy(), start.correlation().shape[2]
        rho = end.correlation()
        standing = stands(rho, norm * end.student_spread(), settings.level, settings.negligible)
        nodes = {
            ("ticket", 0): torch.from_numpy(ticket),
            ("predicted_ticket", 0): torch.from_numpy(expected_best(pool, draws)),
            ("luck", 0): torch.from_numpy(best_below(pool, draws, ticket)),
            ("close", trained.training.epochs): (rho > settings.level).any(2).where(intact, torch.nan),
            ("found", trained.training.epochs): standing.any(2).where(intact, torch.nan),
        }
        for (quantity, epoch), value in nodes.items():
            axes = {"epoch": [epoch], "seed": seeds, "node": range(live.shape[1])}
            frames.append(rows(quantity, value.where(live, torch.nan), layer, **axes))
        covered = over_live(best[layer] > settings.level, live).where(going, torch.nan)
        frames.append(rows("cover", covered, layer, epoch=range(len(covered)), seed=seeds))
    return Result(joined(frames), {})


def random_overlaps(run: Run, teachers: Networks, x: Tensor, seeds: Sequence[int]) -> list[np.ndarray]:
    """ρ of each teacher node with single nodes of random students, for each hidden layer, (S, n°, M).

    The students have the size of the run's students and initial weights from a stream of their own: as many students as
    it takes for ``pool`` nodes a teacher node, so that M is at least pool · n°.
    x: samples, (S, n_in, N).
    """
    student, pooled = run.source.settings.student, []
    for replica in range(-(-run.settings.pool // student.multiplier)):
        drawn = initialize_students(
            run.teacher.shape, student_widths(run), seeds=seeds, purpose=f"random-student-{replica}",
            kernel=run.teacher.kernel, batch_norm=student.batch_norm, norm_scale=student.norm_scale,
        )  # fmt: skip
        pooled.append(overlaps(teachers, with_statistics_of(drawn, x), x)[0])
    return [np.concatenate([single(overlap) for overlap in layer], 2) for layer in zip(*pooled, strict=True)]


def single(overlap: Overlap) -> np.ndarray:
    """ρ of every teacher node with every student node, (S, n°, n), float64."""
    return overlap.correlation().double().numpy()
