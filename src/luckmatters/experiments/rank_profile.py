"""Kind ``rank-profile``: for each teacher node, ρ of its best students before and after training (paper, appendix)."""

from collections.abc import Sequence

import pandas as pd
from torch import Tensor

from luckmatters.config.schema import Run
from luckmatters.experiments.student_training import Data, overlaps, select_teachers, snapshot
from luckmatters.science.networks import Networks


def profile(
    run: Run, students: int, teachers: Networks, data: Data, tensors: dict[str, Tensor], seeds: Sequence[int]
) -> pd.DataFrame:
    """ρ of the best students of each teacher node at the first and the last epoch of a finished training run.

    run, teachers, data, tensors, seeds: the training run's settings, teacher file, samples, saved tensors and seeds;
    students: how many to keep (fewer where a layer has fewer). Columns seed, epoch, layer, node (of the teacher), rank
    (0 = best), quantity (correlation), value.
    """
    teachers = select_teachers(run, teachers, seeds)
    x, _ = data.evaluation_set(seeds, run.settings.data.evaluation_samples)
    frames = []
    for epoch in (0, run.settings.training.epochs):
        gathered, _ = overlaps(teachers, snapshot(tensors, epoch), x)
        for layer, overlap in enumerate(gathered):
            rho = overlap.correlation()
            best = rho.topk(min(students, rho.shape[2]), dim=2).values  # (S, n°, students)
            index = pd.MultiIndex.from_product(
                [seeds, range(best.shape[1]), range(best.shape[2])], names=["seed", "node", "rank"]
            )
            frame = pd.DataFrame({"value": best.flatten().double().numpy()}, index=index).reset_index()
            frames.append(frame.assign(epoch=epoch, layer=pd.array([layer] * len(frame), dtype="Int64")))
    table = pd.concat(frames, ignore_index=True).assign(quantity="correlation")
    return table[["seed", "epoch", "layer", "node", "rank", "quantity", "value"]]
