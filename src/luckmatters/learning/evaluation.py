"""Measurements of students at an epoch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from luckmatters.learning.data import Data, chosen_teachers, on_labels, select_teachers
from luckmatters.science.alignment import fan_in_cosine
from luckmatters.science.losses import outputs
from luckmatters.science.moments import in_parts, with_statistics_of
from luckmatters.science.networks import Networks, check_comparable
from luckmatters.science.overlap import Overlap, over_live, rank
from luckmatters.science.teachers import unrelated_teachers
from luckmatters.science.training import Trainer
from luckmatters.settings.experiment import Run

# Quantities of a layer, (S,) at each epoch, that a history records and a table repeats unchanged.
OF_LAYERS = (
    "correlation_192", "floor", "floor_192", "control", "control_192", "weight_cosine", "control_weight_cosine",
)  # fmt: skip


PUBLISHED_SAMPLES = 192  # on which the authors measure ρ: three batches of 64


@dataclass(frozen=True)
class Evaluation:
    """The teachers and samples with which students are measured.

    teachers: a single teacher of all students, or a teacher for each student.
    unrelated: as many other teachers of the same shape.
    x: samples, (S or 1, n_in, N).
    labels: (N,), or None for samples without labels.
    on_labels: whether the loss compares outputs with labels, not with the teachers' outputs.
    """

    teachers: Networks
    unrelated: Networks
    x: Tensor
    labels: Tensor | None
    on_labels: bool

    @classmethod
    def of(cls, run: Run, teachers: Networks, data: Data, seeds: Sequence[int]) -> "Evaluation":
        """The evaluation of a run's students.

        teachers: all networks of the run's teacher file.
        """
        settings = run.settings
        return cls(
            select_teachers(run, teachers, seeds),
            unrelated_teachers(teachers, chosen_teachers(run, seeds), run.teacher.shape, run.teacher.kernel),
            *data.evaluation_set(seeds, settings.data.evaluation_samples),
            on_labels(settings),
        )

    def targets(self) -> Tensor:
        """What the loss compares outputs with: the teachers' outputs (S or 1, n_out, N), or labels (1, N)."""
        return self.labels[None] if self.on_labels else outputs(self.teachers, self.x)

    def gather(
        self, students: Networks, *, first: bool = False, control: bool = True
    ) -> tuple[list[Overlap], dict[str, Tensor]]:
        """The results of :func:`overlaps` on all samples.

        first: whether students are untrained; BatchNorm then uses the statistics of the samples.
        control: whether the nodes of unrelated teachers are wanted too.
        """
        if first:
            students = with_statistics_of(students, self.x)
        others = self.unrelated if control else None
        return overlaps(self.teachers, students, self.x, self.labels, on_labels=self.on_labels, unrelated=others)

    def gather_published(self, students: Networks) -> list[Overlap]:
        """The overlap of every hidden layer as the authors measure: on 192 samples, always with running statistics."""
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
    """The overlap of every hidden layer, and the loss and accuracy of the outputs.

    x: samples, (S or 1, n_in, N); they pass in parts, so that memory does not grow with N.
    labels: (N,), or None for samples without labels.
    on_labels: whether the loss compares outputs with labels.
    unrelated: other teachers, whose nodes follow the teachers' nodes (see :meth:`Overlap.split`).
    The second result holds ``loss``, (S,): the mean over samples and outputs of (student − teacher)², or with on_labels
    the mean over samples of the cross-entropy. With labels it also holds ``accuracy`` and ``teacher_accuracy``, (S,):
    the shares of samples with the greatest output at the label.
    Raises ValueError if students have other inputs, outputs or another depth than teachers.
    """
    check_comparable(teachers, students)
    seeds, layers = max(teachers.seeds, students.seeds, len(x)), len(students.weights) - 1
    gathered, sums, start = [Overlap() for _ in range(layers)], {}, 0
    for samples in in_parts(x, students):
        teacher, student = teachers.activations(samples), students.activations(samples)
        nodes = teacher[:-1]
        if unrelated:
            nodes = [torch.cat(pair, 1) for pair in zip(nodes, unrelated.activations(samples), strict=False)]
        for overlap, theirs, ours in zip(gathered, nodes, student, strict=False):
            overlap.add(theirs, ours)
        values = {"loss": (student[-1] - teacher[-1]).square().mean(1)}
        if labels is not None:
            known = labels[start : start + samples.shape[2]].expand(seeds, -1)
            if on_labels:
                values["loss"] = torch.nn.functional.cross_entropy(student[-1], known, reduction="none")
            for name, outputs in (("accuracy", student[-1]), ("teacher_accuracy", teacher[-1])):
                values[name] = (outputs.argmax(1) == known[: len(outputs)]).expand(seeds, -1)
        for name, value in values.items():
            sums[name] = sums.get(name, 0) + value.double().sum(1)
        start += samples.shape[2]
    return gathered, {name: value / x.shape[2] for name, value in sums.items()}


def evaluate(evaluation: Evaluation, trainer: Trainer, *, first: bool = False) -> dict[str, Tensor]:
    """All measurements of a trainer's students, see :func:`measured`.

    first: whether students are untrained.
    """
    return measured(evaluation, trainer, *evaluation.gather(trainer.networks, first=first), first=first)


def measured(
    evaluation: Evaluation, trainer: Trainer, gathered: list[Overlap], found: dict[str, Tensor], *, first: bool
) -> dict[str, Tensor]:
    """All measurements that a history records at an epoch; the trainer's mean loss starts anew.

    gathered, found: the two results of :meth:`Evaluation.gather`; first: whether students are untrained.
    The result holds all of ``found``, ``training_loss`` and ``finite``, (S,). For each layer l it holds the fields of
    :class:`LayerOverlap` as ``<field>/l``; ``winner_192/l`` and ``rank_192/l``, winner and rank as the authors measure;
    and the quantities OF_LAYERS, each (S,). Floors are measured only if ``first``.
    """
    students, few = trainer.networks, evaluation.gather_published(trainer.networks)
    found = found | {"training_loss": trainer.mean_loss(), "finite": students.finite()}
    if first:
        found |= {name: value.expand(students.seeds) for name, value in floors(evaluation).items()}
    aligned: list[dict[str, Tensor]] = [{}, {}]  # of the layer below, with the teacher and with the unrelated teacher
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
    """The mean over teacher nodes of the best ρ with another teacher node: floor/l and floor_192/l, (S or 1,)."""
    means = {}
    for name, samples in (("floor", None), ("floor_192", PUBLISHED_SAMPLES)):
        gathered, _ = overlaps(evaluation.teachers, evaluation.teachers, evaluation.x[..., :samples])
        for layer, overlap in enumerate(gathered):
            best = overlap.floor()
            mean = best.double().mean(1) if samples else over_live(best, overlap.live())
            means[f"{name}/{layer}"] = mean
    return means
