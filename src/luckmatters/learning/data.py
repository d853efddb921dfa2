"""The samples and teachers of a run."""

import math
from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from luckmatters.science.data import Gaus
from luckmatters.science.finite import FiniteSet
from luckmatters.science.images import Cifar10
from luckmatters.science.networks import Networks
from luckmatters.settings.data import Cifar10Data, GausData
from luckmatters.settings.experiment import Run
from luckmatters.settings.students import StudentTraining

Data = Gaus | Cifar10
SCORING_SAMPLES = 1024  # training samples by which nodes are chosen; evaluation samples stay unseen
SCORING_EPOCH = -1  # stream of these samples: no epoch has this number


def data_source(
    settings: GausData | Cifar10Data, inputs: Sequence[int], batch: int, images: dict[str, Tensor] | None, device: str
) -> Data:
    """The source of training and evaluation samples.

    inputs: the shape of a sample; batch: the number of samples in a step.
    images: the tensors of CIFAR-10, see :class:`Cifar10`; not read for GAUS.
    Raises ValueError if there are too few images.
    """
    chosen = settings.finite
    finite = FiniteSet(chosen.size, chosen.noise or 0, bool(chosen.shuffled)) if chosen else None
    if settings.kind == "gaus":
        return Gaus(
            math.prod(inputs), settings.std, settings.samples_per_epoch, settings.infinite, batch, device, finite
        )
    on_device = {name: tensor.to(device) for name, tensor in images.items()}
    data = Cifar10(
        **on_device, samples=settings.samples_per_epoch, augment=settings.augment, batch=batch, finite=finite
    )
    data.check_evaluation(settings.evaluation_samples)
    return data


def select_teachers(run: Run, teachers: Networks, seeds: Sequence[int]) -> Networks:
    """The single teacher of all students (S = 1), or a teacher for each student (S = number of seeds).

    teachers: all networks of the run's teacher file.
    """
    return teachers.select(chosen_teachers(run, seeds))


def chosen_teachers(run: Run, seeds: Sequence[int]) -> Sequence[int]:
    """The indices, in the teacher file, of the teachers that :func:`select_teachers` gives."""
    chosen = run.settings.teacher.seed
    return seeds if chosen == "own" else [chosen]


def on_labels(settings: StudentTraining) -> bool:
    """Whether students learn from labels of samples, not from the teachers' outputs."""
    return settings.target == "labels"


def scoring_samples(data: Data, seeds: Sequence[int]) -> Tensor:
    """Samples by which nodes are chosen, (S, n_in, SCORING_SAMPLES), on which no network trains or is evaluated."""
    enough = -(-SCORING_SAMPLES // data.batch)  # a block has at least as many samples as a batch
    return torch.cat(list(islice(data.blocks(seeds, SCORING_EPOCH), enough)), 2)[..., :SCORING_SAMPLES]
