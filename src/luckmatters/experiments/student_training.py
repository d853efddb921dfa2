"""Kind ``student-training``: train students to a teacher's output, measure their overlap with it every epoch."""

import math
from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import Tensor

from luckmatters.config.schema import Cifar10Data, GausData, Run, StudentTraining
from luckmatters.experiments.history import Progress, Result, diverged_by, tidy, under
from luckmatters.science.data import Gaus
from luckmatters.science.images import Cifar10
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.overlap import Overlap
from luckmatters.science.training import Loss, Trainer, cross_entropy, learning_rate, squared_error

Data = Gaus | Cifar10
WHOLE_NETWORK = ("loss", "accuracy", "teacher_accuracy")
# Activations of a layer that an evaluation may hold at once: 64 MiB of each layer on a CPU, 1 GiB on a graphics card.
EVALUATION_FLOATS = 2**24


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
    chosen = run.settings.teacher.seed
    return teachers.select(seeds if chosen == "own" else [chosen])


def train(
    run: Run,
    teachers: Networks,
    data: Data,
    seeds: Sequence[int],
    *,
    device: str = "cpu",
    resume: Progress | None = None,
) -> Iterator[Progress]:
    """Yield the state of training after every epoch, the initial one (epoch 0) first.

    teachers: all teachers of the run's teacher file; data: what the students are trained on. resume: a state yielded
    earlier; training goes on after it and yields what the undisturbed run would have yielded. A seed that diverges goes
    on as NaN beside the others.
    """
    settings = run.settings
    teachers = select_teachers(run, teachers, seeds)
    evaluation_set = data.evaluation_set(seeds, settings.data.evaluation_samples)

    if resume is None:
        students = initial_students(run, seeds, device)
        measured = evaluate(teachers, students, *evaluation_set, on_labels=settings.on_labels)
        state = Progress.none().record(students, measured, snapshot=True)
        yield state
    else:
        state = resume
        students = Networks.from_state(state.network(), device=device)

    trainer = Trainer(students, loss(settings))
    for epoch in range(state.epoch, settings.training.epochs):
        train_epoch(trainer, teachers, data, seeds, epoch, rate(settings, epoch), on_labels=settings.on_labels)
        finished = epoch + 1
        keep = finished in settings.training.snapshots or finished == settings.training.epochs
        measured = evaluate(teachers, students, *evaluation_set, on_labels=settings.on_labels)
        state = state.record(students, measured, snapshot=keep)
        yield state


def loss(settings: StudentTraining) -> Loss:
    """What students are trained on: the teachers' outputs, or labels."""
    return cross_entropy if settings.on_labels else squared_error


def rate(settings: StudentTraining, epoch: int) -> float:
    """The learning rate of an epoch, counted from 0."""
    return learning_rate([(step.epoch, step.rate) for step in settings.training.learning_rate], epoch)


def initial_students(run: Run, seeds: Sequence[int], device: str) -> Networks:
    """The students of a run before training."""
    return initialize_students(
        run.teacher.shape,
        run.student_widths,
        seeds=seeds,
        kernel=run.teacher.kernel,
        batch_norm=run.settings.student.batch_norm,
        device=device,
    )


def last(run: Run) -> int:
    """The last epoch."""
    return run.settings.training.epochs


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
    """Take a step on every batch of an epoch; several networks of a seed, which stand in a row, see the same samples.

    on_labels: outputs are compared with the samples' labels, or else with the teachers' outputs.
    """
    for x, target in batches(teachers, data, seeds, epoch, on_labels=on_labels):
        trainer.step(x, target, rate)


def batches(
    teachers: Networks, data: Data, seeds: Sequence[int], epoch: int, *, on_labels: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch's samples (S, n_in, B), with labels (S, B) or the teachers' outputs (S, n_out, B)."""
    if on_labels:
        yield from data.batches(seeds, epoch)
        return
    for block in data.blocks(seeds, epoch):
        # Outputs for one batch at a time: those for a block would leave the cache.
        for x in block.split(data.batch, dim=2):
            yield x, teachers(x)


def overlaps(
    teachers: Networks, students: Networks, x: Tensor, labels: Tensor | None = None, *, on_labels: bool = False
) -> tuple[list[Overlap], dict[str, Tensor]]:
    """The overlap of every hidden layer on samples (S or 1, n_in, N), and what the outputs are worth.

    labels: (N,), where the samples have any. The second result holds loss, the mean over samples and outputs of
    (student − teacher)², or on_labels the mean over samples of the cross-entropy with the label; with labels also
    accuracy and teacher_accuracy, the shares of samples whose greatest output is the label's; each (S,). Samples pass a
    part at a time, so that memory does not grow with their number.
    """
    seeds, layers = max(teachers.seeds, students.seeds, len(x)), len(students.weights) - 1
    gathered, sums = [Overlap() for _ in range(layers)], {}
    widest = max(weight.shape[1] for weight in students.weights)
    lowest = students.weights[0]
    positions = x.shape[1] // lowest.shape[2] if lowest.dim() > 3 else 1
    room = EVALUATION_FLOATS * (16 if x.is_cuda else 1)
    part = max(1, room // (seeds * positions * widest))
    for start in range(0, x.shape[2], part):
        samples = x[..., start : start + part]
        teacher, student = teachers.activations(samples), students.activations(samples)
        for one, its, ours in zip(gathered, teacher, student, strict=False):
            one.add(its, ours)
        found = {"loss": (student[-1] - teacher[-1]).square().mean(1)}
        if on_labels:
            known = labels[start : start + part].expand(seeds, -1)
            found["loss"] = torch.nn.functional.cross_entropy(student[-1], known, reduction="none")
        if labels is not None:
            for name, outputs in (("accuracy", student[-1]), ("teacher_accuracy", teacher[-1])):
                found[name] = (outputs.argmax(1) == labels[start : start + part]).expand(seeds, -1)
        for name, value in found.items():
            sums[name] = sums.get(name, 0) + value.double().sum(1)
    return gathered, {name: value / x.shape[2] for name, value in sums.items()}


def evaluate(
    teachers: Networks, students: Networks, x: Tensor, labels: Tensor | None, *, on_labels: bool = False
) -> dict[str, Tensor]:
    """All that is recorded of the students at one moment.

    What :func:`overlaps` gives; finite, (S,); and for each layer l best/l, second/l, winner/l (S, n°), rank/l
    (S, n°, n), dead_teachers/l, dead_students/l (S,).
    """
    gathered, found = overlaps(teachers, students, x, labels, on_labels=on_labels)
    found["finite"] = students.finite()
    for layer, overlap in enumerate(gathered):
        found |= {f"{quantity}/{layer}": value for quantity, value in vars(overlap.measure()).items()}
    return found


def finish(run: Run, seeds: Sequence[int], state: Progress) -> Result:
    """The table and tensors of a finished run (or of one that was cut short, as if it had ended there).

    table: columns seed, epoch, layer (<NA> for the whole network), quantity, value. Quantities: loss; diverged (0/1);
    where samples have labels accuracy and teacher_accuracy; correlation (ρ̄: mean over teacher nodes of the best ρ, dead
    ones as 0), second_correlation, mean_rank and median_rank (in units of the layer's students, of the student that is
    best at the end; dead teacher nodes left out), dead_teachers, dead_students. A diverged seed's values are NaN from
    then on.
    tensors: the snapshots, and of each layer the winning student of each teacher node (S, n°), its rank by epoch
    (T + 1, S, n°), and the best ρ by epoch (T + 1, S, n°).
    """
    history = state.history()
    diverged = diverged_by(history)
    frames = [
        *(tidy(seeds, None, name, history[name], diverged) for name in WHOLE_NETWORK if name in history),
        tidy(seeds, None, "diverged", diverged.double(), torch.zeros_like(diverged)),
    ]
    tensors = {name: value for name, value in state.tensors.items() if name.startswith("snapshot/")}
    for layer in range(sum(name.startswith("best/") for name in history)):
        best, winner, rank = (history[f"{name}/{layer}"] for name in ("best", "winner", "rank"))
        students = rank.shape[-1]
        last = winner[-1].long()  # (S, n°): the student that is best at the end
        index = last.expand(len(rank), -1, -1)[..., None]
        winner_rank = rank.gather(3, index)[..., 0].double() / students  # (T + 1, S, n°)
        ranked = (best[-1] != 0) & ~diverged[-1, :, None]  # where "the best at the end" means something, (S, n°)
        winner_rank = winner_rank.where(ranked, torch.nan)
        layers = {
            "correlation": best.double().mean(2),
            "second_correlation": history[f"second/{layer}"].double().mean(2),
            "mean_rank": winner_rank.nanmean(2),
            "median_rank": winner_rank.nanquantile(0.5, dim=2),
            "dead_teachers": history[f"dead_teachers/{layer}"].double(),
            "dead_students": history[f"dead_students/{layer}"].double(),
        }
        frames += [tidy(seeds, layer, quantity, value, diverged) for quantity, value in layers.items()]
        tensors |= {f"winner/{layer}": last, f"winner_rank/{layer}": winner_rank.float(), f"best/{layer}": best}
    return Result(pd.concat(frames, ignore_index=True), {k: v.contiguous() for k, v in tensors.items()})


def snapshot(tensors: dict[str, Tensor], epoch: int, *, device: str = "cpu") -> Networks:
    """The students at a saved epoch of a finished run. Raises KeyError if that epoch was not saved."""
    state = under(tensors, f"snapshot/{epoch}")
    if not state:
        raise KeyError(epoch)
    return Networks.from_state(state, device=device)
