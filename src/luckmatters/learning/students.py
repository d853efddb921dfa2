"""Students of a run: initialization, training and saved snapshots."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from luckmatters.learning.data import Data, on_labels
from luckmatters.learning.shapes import start, student_widths
from luckmatters.science.finite import of_samples
from luckmatters.science.networks import Networks, check_comparable, initialize_students
from luckmatters.science.training import Loss, Trainer, cross_entropy, learning_rate, squared_error
from luckmatters.settings.experiment import Run
from luckmatters.settings.students import StudentTraining
from luckmatters.tables.files import under


def loss(settings: StudentTraining) -> Loss:
    """The training loss of students: cross-entropy on labels, squared error on the teachers' outputs."""
    return cross_entropy if on_labels(settings) else squared_error


def rate(settings: StudentTraining, epoch: int) -> float:
    """The learning rate of students in an epoch, counted from 0."""
    return learning_rate([(step.epoch, step.rate) for step in settings.training.learning_rate], epoch)


def trainer_options(settings: StudentTraining) -> dict:
    """The options that a trainer of students has by the settings."""
    return {"loss": loss(settings), "unit_fan_in": settings.training.normalize == "fan-in"}


def initial_students(run: Run, seeds: Sequence[int], device: str) -> Networks:
    """The students of a run before training."""
    return initialize_students(
        run.teacher.shape,
        student_widths(run),
        seeds=[start(run, seed) for seed in seeds],
        kernel=run.teacher.kernel,
        batch_norm=run.settings.student.batch_norm,
        norm_scale=run.settings.student.norm_scale,
        device=device,
    )


def train_epoch(
    trainer: Trainer,
    teachers: Networks,
    data: Data,
    seeds: Sequence[int],
    epoch: int,
    rate: float,
    *,
    on_labels: bool = False,
) -> None:
    """Take a step on every batch of an epoch.

    Several networks of a seed, which stand in a row, see the same samples.
    rate: the learning rate; on_labels: whether outputs are compared with labels, not with the teachers' outputs.
    Raises ValueError if students have other inputs, outputs or another depth than teachers.
    """
    check_comparable(teachers, trainer.networks)
    for x, target in batches(teachers, data, seeds, epoch, on_labels=on_labels):
        trainer.step(x, target, rate)


def batches(
    teachers: Networks, data: Data, seeds: Sequence[int], epoch: int, *, on_labels: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """The samples (S, n_in, B) of each batch of an epoch, with labels (S, B) or the teachers' outputs (S, n_out, B)."""
    if data.finite:
        x, targets = training_set(teachers, data, seeds, on_labels=on_labels)
        for chosen in data.order(seeds, epoch).split(data.batch, dim=1):
            yield of_samples(x, chosen), of_samples(targets, chosen)
        return
    if on_labels:
        yield from data.batches(seeds, epoch)
        return
    for block in data.blocks(seeds, epoch):
        # Outputs are computed batch by batch: the outputs of a block would leave the cache.
        for x in block.split(data.batch, dim=2):
            yield x, teachers(x)


def training_set(teachers: Networks, data: Data, seeds: Sequence[int], *, on_labels: bool) -> tuple[Tensor, Tensor]:
    """Each seed's finite training set, (S, n_in, N), with the targets that students are given.

    Targets are labels (S, N) or outputs (S, n_out, N), with what ``data.finite`` does to them.
    """
    x, labels = data.training_set(seeds)
    return x, data.finite.altered(labels if on_labels else teachers(x), seeds)


def snapshot(tensors: dict[str, Tensor], epoch: int, *, device: str = "cpu") -> Networks:
    """The students of a finished run at a saved epoch. Raises KeyError if the epoch was not saved.

    tensors: of the run, by name.
    """
    state = under(tensors, f"snapshot/{epoch}")
    if not state:
        raise KeyError(epoch)
    return Networks.from_state(state, device=device)
