"""Kind ``student-training``: train students to a teacher's output, measure their overlap with it every epoch."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from luckmatters.config.schema import Cifar10Data, GausData, Run, StudentTraining
from luckmatters.experiments.history import Progress, Result, diverged_by, tidy, under
from luckmatters.science.alignment import fan_in_cosine
from luckmatters.science.data import Gaus
from luckmatters.science.images import Cifar10
from luckmatters.science.moments import in_parts, with_statistics_of
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.overlap import Overlap, over_live, rank
from luckmatters.science.teachers import unrelated_teachers
from luckmatters.science.training import Loss, Trainer, cross_entropy, learning_rate, squared_error

Data = Gaus | Cifar10
WHOLE_NETWORK = ("loss", "training_loss", "accuracy", "teacher_accuracy")
# Numbers of a layer that are recorded as they are.
OF_LAYERS = (
    "correlation_192", "floor", "floor_192", "control", "control_192", "weight_cosine", "control_weight_cosine",
)  # fmt: skip
PUBLISHED_SAMPLES = 192  # on which the authors measure ρ: three batches of 64


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


@dataclass(frozen=True)
class Evaluation:
    """What students are measured with and on.

    teachers: the one of all students, or each student's own; unrelated: others of the same shape, likewise; x: samples
    (S or 1, n_in, N); labels: (N,), where the samples have any; on_labels: whether the loss is that of labels.
    """

    teachers: Networks
    unrelated: Networks
    x: Tensor
    labels: Tensor | None
    on_labels: bool

    @classmethod
    def of(cls, run: Run, teachers: Networks, data: Data, seeds: Sequence[int]) -> "Evaluation":
        """That of a run; teachers: all of its teacher file."""
        settings = run.settings
        return cls(
            select_teachers(run, teachers, seeds),
            unrelated_teachers(teachers, chosen_teachers(run, seeds), run.teacher.shape, run.teacher.kernel),
            *data.evaluation_set(seeds, settings.data.evaluation_samples),
            settings.on_labels,
        )

    def gather(
        self, students: Networks, *, first: bool = False, control: bool = True
    ) -> tuple[list[Overlap], dict[str, Tensor]]:
        """See :func:`overlaps`, on all samples.

        first: before training, when BatchNorm gets the statistics of these samples, for want of running ones; control:
        whether unrelated teachers' nodes are wanted too.
        """
        if first:
            students = with_statistics_of(students, self.x)
        others = self.unrelated if control else None
        return overlaps(self.teachers, students, self.x, self.labels, on_labels=self.on_labels, unrelated=others)

    def gather_published(self, students: Networks) -> list[Overlap]:
        """The same as the authors measure: on few samples, and always by running statistics."""
        return overlaps(self.teachers, students, self.x[..., :PUBLISHED_SAMPLES], unrelated=self.unrelated)[0]


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
    settings, evaluation = run.settings, Evaluation.of(run, teachers, data, seeds)
    if resume is None:
        trainer = Trainer(initial_students(run, seeds, device), loss(settings))
        state = Progress.none().record(trainer, evaluate(evaluation, trainer, first=True), snapshot=True)
        yield state
    else:
        state = resume
        trainer = Trainer.from_state(state.network(), loss(settings), device=device)

    for epoch in range(state.epoch, settings.training.epochs):
        train_epoch(
            trainer, evaluation.teachers, data, seeds, epoch, rate(settings, epoch), on_labels=settings.on_labels
        )
        finished = epoch + 1
        keep = finished in settings.training.snapshots or finished == settings.training.epochs
        state = state.record(trainer, evaluate(evaluation, trainer), snapshot=keep)
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
        norm_scale=run.settings.student.norm_scale,
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
    teachers: Networks,
    students: Networks,
    x: Tensor,
    labels: Tensor | None = None,
    *,
    on_labels: bool = False,
    unrelated: Networks | None = None,
) -> tuple[list[Overlap], dict[str, Tensor]]:
    """The overlap of every hidden layer on samples (S or 1, n_in, N), and what the outputs are worth.

    labels: (N,), where the samples have any; unrelated: other teachers, whose nodes stand behind those of the teachers
    (see :meth:`Overlap.split`). The second result holds loss, the mean over samples and outputs of (student −
    teacher)², or on_labels the mean over samples of the cross-entropy with the label; with labels also accuracy and
    teacher_accuracy, the shares of samples whose greatest output is the label's; each (S,). Samples pass a part at a
    time, so that memory does not grow with their number.
    """
    seeds, layers = max(teachers.seeds, students.seeds, len(x)), len(students.weights) - 1
    gathered, sums, start = [Overlap() for _ in range(layers)], {}, 0
    for samples in in_parts(x, students):
        teacher, student = teachers.activations(samples), students.activations(samples)
        nodes = teacher[:-1]
        if unrelated:
            nodes = [torch.cat(pair, 1) for pair in zip(nodes, unrelated.activations(samples), strict=False)]
        for one, its, ours in zip(gathered, nodes, student, strict=False):
            one.add(its, ours)
        found = {"loss": (student[-1] - teacher[-1]).square().mean(1)}
        if labels is not None:
            known = labels[start : start + samples.shape[2]].expand(seeds, -1)
            if on_labels:
                found["loss"] = torch.nn.functional.cross_entropy(student[-1], known, reduction="none")
            for name, outputs in (("accuracy", student[-1]), ("teacher_accuracy", teacher[-1])):
                found[name] = (outputs.argmax(1) == known[: len(outputs)]).expand(seeds, -1)
        for name, value in found.items():
            sums[name] = sums.get(name, 0) + value.double().sum(1)
        start += samples.shape[2]
    return gathered, {name: value / x.shape[2] for name, value in sums.items()}


def evaluate(evaluation: Evaluation, trainer: Trainer, *, first: bool = False) -> dict[str, Tensor]:
    """See :func:`measured`; first: before training."""
    return measured(evaluation, trainer, *evaluation.gather(trainer.networks, first=first), first=first)


def measured(
    evaluation: Evaluation, trainer: Trainer, gathered: list[Overlap], found: dict[str, Tensor], *, first: bool
) -> dict[str, Tensor]:
    """All that is recorded of students at one moment; the trainer begins a new mean of its loss.

    gathered, found: what :meth:`Evaluation.gather` gives, of which the latter is recorded too. Besides training_loss
    and finite, (S,); and for each layer l the fields of :class:`LayerOverlap`, as <field>/l, winner_192/l and
    rank_192/l, which are the same as the authors measure, and OF_LAYERS, each (S,), floors only if this is the first
    moment.
    """
    students, few = trainer.networks, evaluation.gather_published(trainer.networks)
    found = found | {"training_loss": trainer.mean_loss(), "finite": students.finite()}
    if first:
        found |= {name: value.expand(students.seeds) for name, value in floors(evaluation).items()}
    aligned: list[dict[str, Tensor]] = [{}, {}]  # the layer below, to either teacher
    for layer, sides in enumerate(zip(gathered, few, strict=True)):
        (own, other), (few_own, few_other) = (overlap.split() for overlap in sides)
        cosines, means = [], []
        for side, (overlap, theirs) in enumerate(((own, evaluation.teachers), (other, evaluation.unrelated))):
            (best, winner), live = overlap.best(), overlap.live()
            cosine = fan_in_cosine(theirs.weights[layer], students.weights[layer], winner, **aligned[side])
            aligned[side] = {"below": overlap.substitution(), "live": live}
            cosines.append(over_live(cosine, live))
            means.append(over_live(best, live))
        best, winner = few_own.best()
        numbers = {
            **vars(own.measure()),
            "winner_192": winner,
            "rank_192": rank(few_own.correlation()),
            "correlation_192": best.double().mean(1),
            "control": means[1],
            "control_192": few_other.best()[0].double().mean(1),
            "weight_cosine": cosines[0],
            "control_weight_cosine": cosines[1],
        }
        found |= {f"{name}/{layer}": value for name, value in numbers.items()}
    return found


def floors(evaluation: Evaluation) -> dict[str, Tensor]:
    """The mean over a layer's teacher nodes of the best ρ with another one: floor/l, and floor_192/l, (S or 1,)."""
    found = {}
    for name, samples in (("floor", None), ("floor_192", PUBLISHED_SAMPLES)):
        gathered, _ = overlaps(evaluation.teachers, evaluation.teachers, evaluation.x[..., :samples])
        for layer, overlap in enumerate(gathered):
            best = overlap.floor()
            mean = best.double().mean(1) if samples else over_live(best, overlap.live())
            found[f"{name}/{layer}"] = mean
    return found


def finish(run: Run, seeds: Sequence[int], state: Progress, *, diverged: Tensor | None = None) -> Result:
    """The table and tensors of a finished run (or of one that was cut short, as if it had ended there).

    table: columns seed, epoch, layer (<NA> for the whole network), quantity, value; a diverged seed's values are NaN
    from then on (diverged: which had by each epoch, (T + 1, S), if that is known better than by what was recorded). Of
    the whole network: loss (on the evaluation set), training_loss (the mean over the epoch's samples
    before the step on each; NaN at epoch 0), diverged (0/1), where samples have labels accuracy and teacher_accuracy.
    Of a layer, means over teacher nodes that are not dead:

    - correlation: ρ̄, the best ρ; second_correlation: the second best; mean_rank, median_rank: of the student that is
      best at the end, in units of the layer's students;
    - floor: the best ρ with another node of the teacher's own layer (epoch 0 alone); control: ρ̄ with an unrelated
      teacher;
    - weight_cosine, control_weight_cosine: see :func:`luckmatters.science.alignment.fan_in_cosine`; the same with the
      unrelated teacher;
    - correlation_192, mean_rank_192, floor_192, control_192: as the authors measure: on the first 192 samples, with
      BatchNorm's running statistics even before training, dead teacher nodes as 0 (the others are normalized by
      statistics of the evaluation set then).

    Besides keeps_teacher and keeps_teacher_chance (see :func:`keeps`), dead_teachers, dead_students.
    tensors: the snapshots, and of each layer the winning student of each teacher node (S, n°), its rank by epoch
    (T + 1, S, n°), and the best ρ by epoch (T + 1, S, n°).
    """
    history = state.history()
    diverged = diverged_by(history) if diverged is None else diverged
    frames = whole_network(seeds, history, diverged)
    tensors = {name: value for name, value in state.tensors.items() if name.startswith("snapshot/")}
    for layer in range(sum(name.startswith("best/") for name in history)):
        its = {name.split("/")[0]: value for name, value in history.items() if name.endswith(f"/{layer}")}
        live, last = its["live"], its["winner"][-1].long()
        counted = live[-1] & ~diverged[-1, :, None]  # where "the best at the end" means something, (S, n°)
        ranks = winner_rank(its["rank"], last).where(counted, torch.nan)
        published = winner_rank(its["rank_192"], its["winner_192"][-1].long())
        layers = {
            "correlation": over_live(its["best"], live),
            "second_correlation": over_live(its["second"], live),
            "mean_rank": ranks.nanmean(2),
            "median_rank": ranks.nanquantile(0.5, dim=2),
            "mean_rank_192": published.mean(2).masked_fill(diverged[-1], torch.nan),
            **keeps(its["closest"], live.shape[2]),
            **{name: its[name] for name in OF_LAYERS},
            "dead_teachers": (~live).sum(2),
            "dead_students": its["dead_students"],
        }
        frames += [tidy(seeds, layer, quantity, value, diverged) for quantity, value in layers.items()]
        tensors |= {f"winner/{layer}": last, f"winner_rank/{layer}": ranks.float(), f"best/{layer}": its["best"]}
    return Result(pd.concat(frames, ignore_index=True), {k: v.contiguous() for k, v in tensors.items()})


def whole_network(seeds: Sequence[int], history: dict[str, Tensor], diverged: Tensor) -> list[pd.DataFrame]:
    """Rows of what is known of networks as a whole."""
    return [
        *(tidy(seeds, None, name, history[name], diverged) for name in WHOLE_NETWORK if name in history),
        tidy(seeds, None, "diverged", diverged.double(), torch.zeros_like(diverged)),
    ]


def winner_rank(rank: Tensor, winner: Tensor) -> Tensor:
    """Which share of the students was ahead of the given one, (T, S, n°), from ranks (T, S, n°, n) and (S, n°)."""
    index = winner.expand(len(rank), -1, -1)[..., None]
    return rank.gather(3, index)[..., 0].double() / rank.shape[3]


def keeps(closest: Tensor, nodes: int) -> dict[str, Tensor]:
    """How many students are closest to the teacher node that they were closest to at first.

    closest: (T, S, n), the teacher node, or −1 where the student is dead, which does not count; nodes: of the teacher.
    keeps_teacher: the share of students that are; keeps_teacher_chance: what it would be if the two nodes had nothing
    to do with each other, the sum over nodes of the product of their shares of students; both (T, S).
    """
    first = closest[:1].expand_as(closest)
    counts = (closest >= 0) & (first >= 0)

    def shares(of: Tensor) -> Tensor:
        numbers = torch.zeros(*of.shape[:2], nodes, dtype=torch.float64)
        return numbers.scatter_add_(2, of.long().clamp(min=0), counts.double()) / counts.sum(2, keepdim=True)

    return {
        "keeps_teacher": ((closest == first) & counts).sum(2) / counts.sum(2),
        "keeps_teacher_chance": (shares(first) * shares(closest)).sum(2),
    }


def snapshot(tensors: dict[str, Tensor], epoch: int, *, device: str = "cpu") -> Networks:
    """The students at a saved epoch of a finished run. Raises KeyError if that epoch was not saved."""
    state = under(tensors, f"snapshot/{epoch}")
    if not state:
        raise KeyError(epoch)
    return Networks.from_state(state, device=device)
