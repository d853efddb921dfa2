"""Kind ``co-activation``: how often nodes of a teacher fire together, before and after the teacher's training.

Also the signs of the teacher's BatchNorm biases: the sign says on which side of zero a pre-activation is centered.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from luckmatters.learning.data import Data, select_teachers
from luckmatters.learning.teachers import untrained
from luckmatters.science.biases import signs
from luckmatters.science.coactivation import Coactivation
from luckmatters.science.data import Gaus
from luckmatters.science.images import Cifar10
from luckmatters.science.moments import with_statistics_of
from luckmatters.science.networks import Networks
from luckmatters.settings.data import Cifar10Samples, GausSamples
from luckmatters.settings.experiment import Run
from luckmatters.tables.history import Result
from luckmatters.tables.rows import joined, rows

PART = 500  # number of samples that pass at a time
NORMALIZED_BY = 1000  # number of samples for the BatchNorm statistics of an untrained network


def data_source(settings: GausSamples | Cifar10Samples, shape: Sequence[int], images: dict[str, Tensor] | None) -> Data:
    """The samples that a teacher is observed on: data as for students, without training samples."""
    if settings.kind == "gaus":
        return Gaus(math.prod(shape), settings.std, samples=0, infinite=True, batch=1)
    data = Cifar10(**images, samples=0, augment=False, batch=1)
    data.check_evaluation(settings.evaluation_samples)
    return data


def observe(run: Run, teachers: Networks, data: Data, seeds: Sequence[int]) -> Result:
    """Joint firing in every hidden layer of each seed's teacher, and the signs of BatchNorm biases.

    teachers: all teachers of the run's file. data: the samples that teachers are observed on.
    Table: columns seed, epoch, layer, quantity, value. Epoch 0 is before training, the only epoch of random teachers.
    Quantities: fires (mean over nodes of P(f > 0)), together (mean over pairs of nodes of P(both > 0)), independent
    (mean over pairs of P(f_j > 0) · P(f_k > 0)). With BatchNorm also channels, negative, zero and positive (counts of
    biases).
    Tensors: joint/<epoch>/<layer>, P(f_j > 0 and f_k > 0), (S, n, n), with P(f_j > 0) on the diagonal.
    """
    x, _ = data.evaluation_set(seeds, run.settings.data.evaluation_samples)
    chosen = run.settings.teacher.seed
    networks = {0: select_teachers(run, teachers, seeds)}
    if run.teacher.learning:
        networks[run.teacher.learning.training.epochs] = networks[0]
        before = untrained(run.teacher, seeds if chosen == "own" else [chosen])
        networks[0] = with_statistics_of(before, x[..., :NORMALIZED_BY])
    frames, tensors = [], {}
    for epoch, network in networks.items():
        for layer, gathered in enumerate(coactivations(network, x)):
            firing = gathered.measure()
            values = {"fires": firing.alone(), "together": firing.together(), "independent": firing.independent()}
            if network.norms:
                counts = signs(network.norms[layer].bias.numpy())
                values |= {name: torch.from_numpy(count) for name, count in counts.items()}
            for quantity, value in values.items():
                frames.append(rows(quantity, value.expand(len(seeds)), layer, epoch=[epoch], seed=seeds))
            tensors[f"joint/{epoch}/{layer}"] = firing.joint.float()
    return Result(joined(frames), tensors)


def coactivations(networks: Networks, x: Tensor) -> list[Coactivation]:
    """The joint firing of every hidden layer on samples (S or 1, n_in, N), PART samples at a time."""
    gathered = [Coactivation() for _ in networks.weights[:-1]]
    for part in x.split(PART, dim=2):
        for layer, activation in zip(gathered, networks.activations(part)[:-1], strict=True):
            layer.add(activation)
    return gathered
