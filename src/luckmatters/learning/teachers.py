"""Training of teachers on the labels of CIFAR-10 (paper, Section 5)."""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import Tensor

from luckmatters.science.images import Cifar10
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.training import Trainer, cosine, cross_entropy, learning_rate, networks_of
from luckmatters.settings.teachers import Teacher
from luckmatters.settings.training import LabelTraining
from luckmatters.tables.history import Result, TrainingState, tidy

EVALUATION_PART = 500  # images at a time


def streams(seeds: Sequence[int]) -> list[int]:
    """The random streams of teachers: negative seeds, which no student has."""
    return [-1 - seed for seed in seeds]


def untrained(teacher: Teacher, seeds: Sequence[int], *, device: str = "cpu") -> Networks:
    """Teachers with these seeds before training."""
    networks = initialize_students(
        teacher.shape,
        [*teacher.widths, teacher.outputs],
        seeds=streams(seeds),
        kernel=teacher.kernel,
        batch_norm=teacher.batch_norm,
        place=teacher.norm or "after",
        device=device,
    )
    if scale := teacher.learning.readout_scale:
        networks.norms[-1].weight.fill_(scale)
    return networks


def train(
    teacher: Teacher, data: Cifar10, *, device: str = "cpu", resume: TrainingState | None = None
) -> Iterator[TrainingState]:
    """Yield the training state after every epoch, with all `count` teachers at once.

    Epoch 0, before training, comes first. The history holds loss (cross-entropy) and accuracy on the evaluation images,
    and finite; each (S,).
    resume: the state to go on from, which is not yielded; None: start at epoch 0.
    Raises FloatingPointError at the first epoch at which a teacher has diverged.
    """
    seeds = streams(range(teacher.count))
    training = teacher.learning.training
    evaluation_set = data.evaluation_set(seeds, teacher.learning.data.evaluation_samples)
    options = {
        "momentum": training.momentum or 0,
        "weight_decay": training.weight_decay or 0,
        "precision": torch.bfloat16 if training.precision else None,
    }
    if resume is None:
        trainer = Trainer(untrained(teacher, range(teacher.count), device=device), cross_entropy, **options)
        state = TrainingState.none().record(trainer, evaluate(trainer.networks, *evaluation_set))
        yield state
    else:
        state, trainer = resume, Trainer.from_state(resume.network(), cross_entropy, device=device, **options)
    for epoch in range(state.epoch, training.epochs):
        lr = rate(training, epoch)
        for x, labels in data.batches(seeds, epoch):
            trainer.step(x, labels, lr)
        measured = evaluate(trainer.networks, *evaluation_set)
        if not (measured["finite"] & measured["loss"].isfinite()).all():
            raise FloatingPointError(f"diverged in epoch {epoch + 1}")
        state = state.record(trainer, measured)
        yield state


def rate(training: LabelTraining, epoch: int) -> float:
    """The learning rate of teachers in an epoch, counted from 0."""
    scheduled = learning_rate([(step.epoch, step.rate) for step in training.learning_rate], epoch)
    return scheduled * (cosine(epoch, training.epochs) if training.annealing else 1)


def evaluate(networks: Networks, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Cross-entropy, accuracy and whether all tensors are finite, each (S,).

    x: images, (1, n_in, N), which pass in parts; labels: (N,).
    """
    loss, right = (torch.zeros(networks.seeds, dtype=torch.float64, device=x.device) for _ in range(2))
    for start in range(0, x.shape[2], EVALUATION_PART):
        outputs = networks(x[..., start : start + EVALUATION_PART])
        known = labels[start : start + EVALUATION_PART].expand(networks.seeds, -1)
        loss += torch.nn.functional.cross_entropy(outputs, known, reduction="none").double().sum(1)
        right += (outputs.argmax(1) == known).sum(1)
    return {"loss": loss / x.shape[2], "accuracy": right / x.shape[2], "finite": networks.finite()}


def finish(seeds: Sequence[int], state: TrainingState) -> Result:
    """The result of trained teachers: a table of loss and accuracy by epoch, and the networks' tensors.

    The table has columns seed, epoch, layer, quantity, value.
    """
    history = state.history()
    frames = [tidy(seeds, None, name, history[name], ~history["finite"]) for name in ("loss", "accuracy")]
    return Result(pd.concat(frames, ignore_index=True), networks_of(state.network()))
