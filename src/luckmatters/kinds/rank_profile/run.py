"""Kind ``rank-profile``: ρ of the best students of each teacher node, before and after training (paper, appendix)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from luckmatters.learning.data import Data, select_teachers
from luckmatters.learning.evaluation import overlaps
from luckmatters.learning.students import snapshot
from luckmatters.science.moments import with_statistics_of
from luckmatters.science.networks import Networks
from luckmatters.settings.experiment import Run
from luckmatters.tables.history import Result
from luckmatters.tables.rows import joined, rows


def measure(run: Run, teachers: Networks, data: Data, tensors: dict[str, Tensor], seeds: Sequence[int]) -> Result:
    """ρ of the best students of each teacher node at the first and the last epoch of a finished training run.

    teachers, data, tensors: the training run's teacher file, samples and saved tensors.
    Table: columns seed, epoch, layer, node (of the teacher), rank (0 = best), quantity (correlation), value. Values
    of dead teacher nodes are NaN. A layer with fewer students than ``run.settings.students`` has fewer ranks. Before
    training, BatchNorm has the statistics of the evaluation set.
    """
    trained, students = run.source.settings, run.settings.students
    teachers = select_teachers(run.source, teachers, seeds)
    x, _ = data.evaluation_set(seeds, trained.data.evaluation_samples)
    frames = []
    for epoch in (0, trained.training.epochs):
        networks = snapshot(tensors, epoch)
        gathered, _ = overlaps(teachers, networks if epoch else with_statistics_of(networks, x), x)
        for layer, overlap in enumerate(gathered):
            rho = overlap.correlation()
            best = rho.topk(min(students, rho.shape[2]), dim=2).values  # (S, n°, students)
            best = best.where(overlap.live()[..., None], torch.nan)
            axes = {"epoch": [epoch], "seed": seeds, "node": range(best.shape[1]), "rank": range(best.shape[2])}
            frames.append(rows("correlation", best, layer, **axes))
    return Result(joined(frames), {})
