"""Kind ``flat-minima``: how far the weights of trained students may be changed, and how curved the loss is.

Two groups of nodes, lucky and irrelevant, are chosen at the end of training, and followed back to earlier snapshots.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from luckmatters.learning.data import Data, scoring_samples, select_teachers
from luckmatters.learning.evaluation import overlaps
from luckmatters.learning.students import snapshot
from luckmatters.science.flatness import (
    changed,
    groups,
    moved,
    over_group,
    random_changes,
    start_distance,
    teacher_distances,
)
from luckmatters.science.hessian import hessian, near_zero, spectrum
from luckmatters.science.networks import Networks
from luckmatters.science.pruning import Mask
from luckmatters.science.random import generator
from luckmatters.settings.experiment import Run
from luckmatters.tables.history import Result
from luckmatters.tables.rows import joined, rows


def measure(run: Run, teachers: Networks, data: Data, tensors: dict[str, Tensor], seeds: Sequence[int]) -> Result:
    """What changes of fan-in do to output and loss, the Hessian's spectrum, and where the fan-in went in training.

    teachers, data, tensors: the training run's teacher file, samples and saved tensors.
    Table: columns group (lucky, irrelevant), seed, epoch, layer, radius, quantity, value. At the early and at the last
    epoch, by group, layer and radius: moved (:func:`flatness.moved`) and loss_ratio (the loss over the loss without a
    change), means over directions. By epoch: flat_<level>, the share of the Hessian's eigenvalues near zero, greatest
    (its greatest eigenvalue in absolute value) and parameters (their number). At the first, the early and the last
    epoch, by group and layer: fan_out (mean norm) and teacher_distance; at the last epoch also start_distance. Students
    with fewer than twice the teacher's nodes have no groups. A diverged seed is NaN.
    """
    settings, last = run.settings, run.source.settings.training.epochs
    teachers = select_teachers(run.source, teachers, seeds)
    x, _ = data.evaluation_set(seeds, settings.samples)
    target = teachers(x)
    students = {epoch: snapshot(tensors, epoch) for epoch in dict.fromkeys((0, settings.early_epoch, last))}
    measured = {epoch: students[epoch] for epoch in (settings.early_epoch, last)}
    frames = [frame for epoch, one in measured.items() for frame in _spectra(run, one, x, target, seeds, epoch)]
    if run.source.settings.student.multiplier > 1:
        chosen = groups(teachers, students[last], scoring_samples(data, seeds))
        for epoch, one in measured.items():
            frames += _changes(run, one, chosen, x, target, seeds, epoch)
        frames += _distances(teachers, students, chosen, x, seeds)
    table = joined(frames)
    lost = [seed for seed, sound in zip(seeds, students[last].finite(), strict=True) if not sound]
    table.loc[table["seed"].isin(lost), "value"] = np.nan
    return Result(table, {})


def _spectra(
    run: Run, students: Networks, x: Tensor, target: Tensor, seeds: Sequence[int], epoch: int
) -> Iterator[pd.DataFrame]:
    """Tables of the Hessian's spectrum at an epoch, seed by seed."""
    wanted = run.settings.spectrum
    for position, (seed, network, sound) in enumerate(zip(seeds, students.each(), students.finite(), strict=True)):
        if not sound:
            continue
        place = slice(position, position + 1)
        operator = hessian(network, x[place], target[place])
        streams = [generator("hessian", seed, start) for start in range(wanted.starts)]
        values, shares = spectrum(operator, steps=wanted.steps, streams=streams)
        found = {f"flat_{level:g}": near_zero(values, shares, level) for level in wanted.near_zero}
        found |= {"greatest": np.abs(values).max(), "parameters": operator.shape[0]}
        yield from (rows(name, np.array([value]), epoch=[epoch], seed=[seed]) for name, value in found.items())


def _changes(
    run: Run, students: Networks, chosen: dict[str, Mask], x: Tensor, target: Tensor, seeds: Sequence[int], epoch: int
) -> Iterator[pd.DataFrame]:
    """Tables of moved and loss_ratio at an epoch, for each group and layer."""
    radii, draws = run.settings.radii, range(run.settings.directions)
    before = students(x)
    for layer in range(len(students.weights) - 1):
        streams = [[generator("fan-in-change", seed, layer, draw) for seed in seeds] for draw in draws]
        directions = [random_changes(students, layer, stream) for stream in streams]
        for group, mask in chosen.items():
            found = {"moved": [], "loss_ratio": []}
            for radius in radii:
                outputs = [
                    changed(students, layer, radius * mask.layers[layer][..., None] * direction)(x)
                    for direction in directions
                ]
                found["moved"].append(torch.stack([moved(before, after) for after in outputs]).mean(0))
                losses = torch.stack([_loss(after, target) for after in outputs]).mean(0)
                found["loss_ratio"].append(losses / _loss(before, target))
            axes = {"radius": radii, "epoch": [epoch], "seed": seeds, "group": [group]}
            yield from (rows(name, torch.stack(value), layer, **axes) for name, value in found.items())


def _loss(output: Tensor, target: Tensor) -> Tensor:
    """The mean square error of each network, (S,)."""
    return (output - target).square().mean((1, 2))


def _distances(
    teachers: Networks, students: dict[int, Networks], chosen: dict[str, Mask], x: Tensor, seeds: Sequence[int]
) -> Iterator[pd.DataFrame]:
    """Tables of fan_out, teacher_distance and start_distance, for each group, layer and epoch.

    students: by epoch, the first and the last epoch among them.
    """
    first, last = students[min(students)], students[max(students)]
    for epoch, one in students.items():
        gathered, _ = overlaps(teachers, one, x)
        by_layer = zip(one.fan_out_norms(), teacher_distances(teachers, one, gathered), strict=True)
        for layer, (norms, distances) in enumerate(by_layer):
            found = {"fan_out": norms, "teacher_distance": distances}
            if one is last:
                found["start_distance"] = start_distance(first, last, layer)
            for (group, mask), (name, value) in ((g, f) for g in chosen.items() for f in found.items()):
                axes = {"epoch": [epoch], "seed": seeds, "group": [group]}
                yield rows(name, over_group(value, mask.layers[layer]), layer, **axes)
