"""Samples and teachers of a run."""

import math
from collections.abc import Sequence

from torch import Tensor

from luckmatters.science.data import Gaus
from luckmatters.science.images import Cifar10
from luckmatters.science.networks import Networks
from luckmatters.settings.data import Cifar10Data, GausData
from luckmatters.settings.experiment import Run
from luckmatters.settings.students import StudentTraining

Data = Gaus | Cifar10


def data_source(
    settings: GausData | Cifar10Data, inputs: Sequence[int], batch: int, images: dict[str, Tensor] | None, device: str
) -> Data:
    """The samples that networks train on and are evaluated on.

    inputs: the shape of a sample; images: the tensors of CIFAR-10 (see :class:`Cifar10`), where the settings ask for
    it. Raises ValueError if there are too few.
    """
    if settings.kind == "gaus":
        return Gaus(math.prod(inputs), settings.std, settings.samples_per_epoch, settings.infinite, batch, device)
    on_device = {name: tensor.to(device) for name, tensor in images.items()}
    data = Cifar10(**on_device, samples=settings.samples_per_epoch, augment=settings.augment, batch=batch)
    data.check_evaluation(settings.evaluation_samples)
    return data


def select_teachers(run: Run, teachers: Networks, seeds: Sequence[int]) -> Networks:
    """The one teacher of all students (S = 1), or each student's own (S = number of seeds)."""
    return teachers.select(chosen_teachers(run, seeds))


def chosen_teachers(run: Run, seeds: Sequence[int]) -> Sequence[int]:
    """Their numbers."""
    chosen = run.settings.teacher.seed
    return seeds if chosen == "own" else [chosen]


def on_labels(settings: StudentTraining) -> bool:
    """Whether students learn from the labels of their samples, or else from the teachers' outputs."""
    return settings.target == "labels"
