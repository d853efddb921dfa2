"""Kind ``carriers``: the nodes that carry what students have learned, compared at the same training error."""

from collections.abc import Sequence

import torch
from torch import Tensor

from luckmatters.learning.data import Data
from luckmatters.learning.errors import errors
from luckmatters.learning.evaluation import Evaluation
from luckmatters.learning.students import snapshot, training_set
from luckmatters.science.carriers import contributions, effective_number, landed, removal_losses
from luckmatters.science.losses import mean_loss, outputs
from luckmatters.science.moments import with_statistics_of
from luckmatters.science.networks import Networks
from luckmatters.science.overlap import over_live
from luckmatters.settings.experiment import Run
from luckmatters.tables.files import under
from luckmatters.tables.history import Result
from luckmatters.tables.rows import joined, rows


def measure(run: Run, teachers: Networks, data: Data, tensors: dict[str, Tensor], seeds: Sequence[int]) -> Result:
    """The carriers of each seed's student at the first epoch at which the student fits the training set.

    teachers, data, tensors: the training run's teacher file, samples and saved tensors.
    Table: columns seed, layer (<NA> for the whole network), quantity, value. All values of a seed that does not fit are
    NaN. Quantities of the whole network are fitted_epoch, training_error and test_error (see
    :func:`luckmatters.learning.errors.errors`), and where samples have labels accuracy. Quantities of a layer are

    - nodes: the effective number of nodes by contribution, on the training set; nodes_untrained: before training;
    - essential: the number of nodes without which the training loss rises by more than ``run.settings.rise``;
    - teacher_nodes: the effective number of teacher nodes, with the contributions of the student nodes closest to each;
    - students_per_teacher: nodes over teacher_nodes;
    - covered: the share of live teacher nodes that have a student node with ρ above ``run.settings.covering``.
    """
    evaluation = Evaluation.of(run.source, teachers, data, seeds)
    x, targets = training_set(evaluation.teachers, data, seeds, on_labels=evaluation.on_labels)
    students, untrained = Networks.from_state(under(tensors, "fitted")), snapshot(tensors, 0)
    loss = mean_loss(outputs(students, x), targets)
    removed = removal_losses(students, x, lambda output: mean_loss(output, targets))
    contribution = contributions(students, x)
    before = contributions(with_statistics_of(untrained, x), x)
    gathered, found = evaluation.gather(students, control=False)
    epoch = tensors["fitted_epoch"]
    fits = epoch >= 0
    whole = {"fitted_epoch": epoch, **errors(evaluation, students, data, seeds)}
    whole |= {name: found[name] for name in ("accuracy",) if name in found}
    frames = [rows(name, only(value, fits), seed=seeds) for name, value in whole.items()]
    for layer, overlap in enumerate(gathered):
        live = overlap.live()
        nodes = effective_number(contribution[layer])
        teacher_nodes = effective_number(landed(contribution[layer], overlap.closest(), live.shape[1]))
        values = {
            "nodes": nodes,
            "nodes_untrained": effective_number(before[layer]),
            "essential": (removed[layer] > (1 + run.settings.rise) * loss[:, None]).sum(1),
            "teacher_nodes": teacher_nodes,
            "students_per_teacher": nodes / teacher_nodes,
            "covered": over_live(overlap.best()[0] > run.settings.covering, live),
        }
        frames += [rows(name, only(value, fits), layer, seed=seeds) for name, value in values.items()]
    return Result(joined(frames), {})


def only(values: Tensor, fits: Tensor) -> Tensor:
    """Values of seeds, (S,), NaN where a seed does not fit."""
    return values.double().masked_fill(~fits, torch.nan)
