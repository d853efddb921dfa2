"""Kind ``node-removal``: remove nodes of trained students, measure what is left, and train it a little further.

In the kind ``lottery`` the kept nodes go back to their initial weights. Here they keep their trained weights.
"""

from collections.abc import Sequence
from itertools import islice

import pandas as pd
import torch
from torch import Tensor

from luckmatters.learning import students
from luckmatters.learning.data import Data, on_labels, scoring_samples, select_teachers
from luckmatters.learning.evaluation import overlaps
from luckmatters.learning.students import batches, snapshot
from luckmatters.science import criteria
from luckmatters.science.networks import Networks
from luckmatters.science.pruning import apply, keep_by_layer
from luckmatters.science.shapes import scaled
from luckmatters.science.training import Trainer
from luckmatters.settings.experiment import Run
from luckmatters.tables.history import Result
from luckmatters.tables.rows import joined, rows

WHOLE = "whole"  # the group of networks from which no node is removed


def measure(run: Run, teachers: Networks, data: Data, tensors: dict[str, Tensor], seeds: Sequence[int]) -> Result:
    """Evaluation losses of what is left of students at several epochs, by criterion and size, before and after steps.

    Fine-tuning has the same samples for all networks of a seed, from an epoch that the training run did not have.
    teachers, data, tensors: the training run's teacher file, samples and saved tensors.
    Table: columns branch (removed: no further step; fine-tuned), group (the criterion; ``whole``: the whole network),
    kept (size in multiples of the teacher's hidden widths), seed, epoch, quantity (loss, and accuracy where samples
    have labels), value. NaN where a network diverged.
    """
    settings, trained = run.settings, run.source.settings
    teachers = select_teachers(run.source, teachers, seeds)
    evaluation_set = data.evaluation_set(seeds, trained.data.evaluation_samples)
    x = scoring_samples(data, seeds)
    frames = []
    for epoch in settings.epochs:
        dense = snapshot(tensors, epoch)
        scored = {name: scores(name, teachers, dense, x, seeds) for name in settings.criteria}
        left: dict[float, dict[str, Networks]] = {
            size: {
                name: apply(dense, keep_by_layer(one, scaled(run.teacher.widths, size))) for name, one in scored.items()
            }
            for size in settings.kept
        }
        left[trained.student.multiplier] = {WHOLE: dense}
        for size, networks in left.items():
            branches = {"removed": networks, "fine-tuned": fine_tuned(run, networks, teachers, data, seeds)}
            for branch, group, one in ((b, g, n) for b, by in branches.items() for g, n in by.items()):
                axes = {"branch": [branch], "group": [group], "kept": [size], "epoch": [epoch], "seed": seeds}
                frames += evaluated(run, one, teachers, *evaluation_set, **axes)
    return Result(joined(frames), {})


def scores(name: str, teachers: Networks, networks: Networks, x: Tensor, seeds: Sequence[int]) -> list[Tensor]:
    """The scores of hidden nodes by a criterion of the settings, (S, n) for each layer.

    x: samples by which nodes are chosen, (S, n_in, N).
    """
    match name:
        case "fan-out":
            return networks.fan_out_norms()
        case "contribution":
            return criteria.fan_out_spread(networks, x)
        case "overlap":
            return criteria.node_overlap(teachers, networks, x)
        case "random":
            return criteria.at_random(networks, seeds=seeds)


def fine_tuned(
    run: Run, networks: dict[str, Networks], teachers: Networks, data: Data, seeds: Sequence[int]
) -> dict[str, Networks]:
    """Copies of networks after the steps of fine-tuning; all networks have the same shape, a network a seed."""
    trained, copies = run.source.settings, len(networks)
    trainer = Trainer(Networks.interleaved([*networks.values()]), students.loss(trained))
    stream = batches(teachers, data, seeds, trained.training.epochs, on_labels=on_labels(trained))
    rate = students.rate(trained, trained.training.epochs - 1)
    for samples, target in islice(stream, run.settings.fine_tuning):
        trainer.step(samples, target, rate)
    places = {name: range(position, copies * len(seeds), copies) for position, name in enumerate(networks)}
    return {name: trainer.networks.select(where) for name, where in places.items()}


def evaluated(
    run: Run, networks: Networks, teachers: Networks, x: Tensor, labels: Tensor | None, **axes: Sequence
) -> list[pd.DataFrame]:
    """Tables of the loss of networks, and of their accuracy where samples have labels, with these axes."""
    _, found = overlaps(teachers, networks, x, labels, on_labels=on_labels(run.source.settings))
    found.pop("teacher_accuracy", None)
    sound = networks.finite() & found["loss"].isfinite()
    return [rows(name, value.where(sound, torch.nan), **axes) for name, value in found.items()]
