"""What is measured of students at one moment."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from luckmatters.learning.data import Data, chosen_teachers, on_labels, select_teachers
from luckmatters.science.alignment import fan_in_cosine
from luckmatters.science.moments import in_parts, with_statistics_of
from luckmatters.science.networks import Networks
from luckmatters.science.overlap import Overlap, over_live, rank
from luckmatters.science.teachers import unrelated_teachers
from luckmatters.science.training import Trainer
from luckmatters.settings.experiment import Run

# Numbers of a layer that are recorded as they are.
OF_LAYERS = (
    "correlation_192", "floor", "floor_192", "control", "control_192", "weight_cosine", "control_weight_cosine",
)  # fmt: skip


PUBLISHED_SAMPLES = 192  # on which the authors measure ρ: three batches of 64


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
            on_labels(settings),
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
