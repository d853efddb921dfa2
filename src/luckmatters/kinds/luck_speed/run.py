"""Kind ``luck-speed``: which student node converges to which teacher node, and when (paper, Section 4)."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from luckmatters.learning.curves import student_curves
from luckmatters.learning.data import Data
from luckmatters.learning.evaluation import Evaluation, measured
from luckmatters.learning.students import initial_students, rate, trainer_options
from luckmatters.science.networks import Networks
from luckmatters.science.overlap import over_live, stands
from luckmatters.science.training import Trainer
from luckmatters.settings.experiment import Run
from luckmatters.tables.history import Result, TrainingState, diverged_by
from luckmatters.tables.rows import joined, rows

HALF_WAY = "half_way"


def steps(run: Run) -> list[int]:
    """The steps of measurements: 0, the ends of epochs, and steps that are evenly spaced in the logarithm."""
    settings, each = run.settings, steps_per_epoch(run)
    total = settings.training.epochs * each
    spaced = np.geomspace(min(settings.first_step, total), total, settings.measurements)
    return np.unique([*range(0, total + 1, each), *spaced.round().astype(int)]).tolist()


def steps_per_epoch(run: Run) -> int:
    """Number of steps of an epoch. The last step may have a smaller batch."""
    return -(-run.settings.data.samples_per_epoch // run.settings.training.batch)


def last(run: Run) -> int:
    """The index of the last measurement."""
    return len(steps(run)) - 1


def train(
    run: Run,
    teachers: Networks,
    data: Data,
    seeds: Sequence[int],
    *,
    device: str = "cpu",
    resume: TrainingState | None = None,
) -> Iterator[TrainingState]:
    """Yield the state of training at every measurement, the initial state first.

    ``TrainingState.epoch`` counts measurements. See :func:`record` for what is recorded.
    teachers: all teachers of the run's teacher file. data: the samples that students are trained on.
    resume: a state yielded earlier; what follows is what the undisturbed run would have yielded.
    A seed that diverges goes on as NaN beside the others.
    """
    evaluation, each, moments = Evaluation.of(run, teachers, data, seeds), steps_per_epoch(run), steps(run)
    if resume is None:
        trainer = Trainer(initial_students(run, seeds, device), **trainer_options(run.settings))
        state = record(TrainingState.none(), evaluation, trainer, whole=True)
        yield state
    else:
        state = resume
        trainer = Trainer.from_state(resume.network(), device=device, **trainer_options(run.settings))
        trainer.loss_sum.copy_(state.tensors["fixed/loss_sum"])
        trainer.samples = int(state.tensors["fixed/samples"])
    done = moments[state.epoch]
    for step, (epoch, batch) in enumerate(batches(run, data, seeds, done), start=done + 1):
        trainer.step(batch, evaluation.teachers(batch), rate(run.settings, epoch))
        if step == moments[state.epoch + 1]:
            state = record(state, evaluation, trainer, whole=step % each == 0)
            yield state


def batches(run: Run, data: Data, seeds: Sequence[int], done: int) -> Iterator[tuple[int, Tensor]]:
    """The batches (S, n_in, B) after the first `done` batches, each as a pair of epoch and batch."""
    each = steps_per_epoch(run)
    for epoch in range(done // each, run.settings.training.epochs):
        skip = done - epoch * each if epoch == done // each else 0
        for block in data.blocks(seeds, epoch):
            parts = block.split(data.batch, dim=2)
            yield from ((epoch, part) for part in parts[skip:])
            skip = max(0, skip - len(parts))


def record(past: TrainingState, evaluation: Evaluation, trainer: Trainer, *, whole: bool) -> TrainingState:
    """The state after one more measurement.

    Recorded at every measurement: moment_loss and moment_finite, (S,), and for each layer rho (S, n°, n) and
    contribution, fan-out norm times spread, (S, n).
    whole: whether the measurement is at the end of an epoch or before the first. If so, the quantities of student
    training are recorded too.
    """
    students, first = trainer.networks, past.epoch < 0
    gathered, evaluated = evaluation.gather(students, first=first, control=whole)
    with_teacher = [overlap.split()[0] if whole else overlap for overlap in gathered]
    now = {"moment_loss": evaluated["loss"], "moment_finite": students.finite()}
    for layer, (overlap, norm) in enumerate(zip(with_teacher, students.fan_out_norms(), strict=True)):
        now |= {f"rho/{layer}": overlap.correlation(), f"contribution/{layer}": norm * overlap.student_spread()}
    if whole:
        now |= measured(evaluation, trainer, gathered, evaluated, first=first)
    state = past.record(trainer, now, snapshot=first)
    # A resumed run goes on with the mean of the training loss.
    state.tensors |= {"fixed/loss_sum": trainer.loss_sum.to("cpu", copy=True)}
    state.tensors |= {"fixed/samples": torch.tensor(trainer.samples)}
    return state


def finish(run: Run, seeds: Sequence[int], state: TrainingState) -> Result:
    """The table and tensors of a finished run: fates of student nodes, and standing students by layer.

    Table: columns seed, epoch, layer, node, quantity, value. At the end of epochs: all quantities of student training
    (see :func:`luckmatters.learning.curves.student_curves`). At every other measurement: loss and diverged.

    Quantities of a student node, at epoch 0, NaN for nodes that are dead at the end. A node ends on the teacher node
    with the greatest final ρ; overlaps, ranks and times are for that teacher node.
    - initial_overlap and final_overlap: ρ at the start and at the end.
    - initial_rank: share of the layer's students that start with a greater ρ.
    - margin: initial overlap minus the greatest initial ρ with another teacher node.
    - time_<level> and time_half_way: epochs until ρ passes the level, or half the way from the start to 1; NaN: never.

    Quantities of a layer, at every measurement. Dead teacher nodes do not count.
    - passed: students with ρ above the first level, per teacher node that has such students.
    - standing: students with ρ above the first level and a contribution that counts, per such teacher node.
    - found: share of teacher nodes with a standing student.
    - winners_share: share of the best students of all teacher nodes in the layer's contribution.

    Tensors: those of student training, with snapshots of the initial and the final students, and ``teacher/<layer>``,
    the teacher node that each student ends on, (S, n).
    """
    history, settings = state.history(), run.settings
    epochs = np.array(steps(run)[: state.epoch + 1]) / steps_per_epoch(run)
    diverged = diverged_by({"loss": history["moment_loss"], "finite": history["moment_finite"]})
    within = epochs % 1 != 0

    def curve(quantity: str, value: Tensor, layer: int) -> pd.DataFrame:
        return rows(quantity, value.double().masked_fill(diverged, torch.nan), layer, epoch=epochs, seed=seeds)

    def per_node(quantity: str, value: Tensor, layer: int) -> pd.DataFrame:
        value = value.masked_fill(diverged[-1][:, None], torch.nan)
        return rows(quantity, value, layer, epoch=[0.0], seed=seeds, node=range(value.shape[1]))

    by_epoch = student_curves(seeds, state, diverged=diverged[~torch.from_numpy(within)])
    tensors, frames = by_epoch.tensors, [by_epoch.table]
    tensors |= {f"snapshot/{epochs[-1]:g}/{name}": value for name, value in state.network().items()}
    loss = history["moment_loss"].masked_fill(diverged, torch.nan)
    for quantity, value in (("loss", loss), ("diverged", diverged)):
        frames.append(rows(quantity, value[within], epoch=epochs[within], seed=seeds))
    for layer in range(sum(name.startswith("rho/") for name in history)):
        rho, contribution = history[f"rho/{layer}"].double(), history[f"contribution/{layer}"].double()
        live = history[f"live/{layer}"][0]
        for quantity, value in standing(rho, contribution, live, settings.levels[0], settings.negligible).items():
            frames.append(curve(quantity, value, layer))
        for name, value in fates(rho, live, torch.from_numpy(epochs), settings.levels).items():
            frames.append(per_node(name, value, layer))
        tensors[f"teacher/{layer}"] = rho[-1].masked_fill(~live[..., None], -torch.inf).argmax(1)
    return Result(joined(frames), tensors)


def standing(rho: Tensor, contribution: Tensor, live: Tensor, level: float, negligible: float) -> dict[str, Tensor]:
    """passed, standing, found and winners_share of a layer (see :func:`finish`), each (T, S).

    rho: (T, S, n°, n). contribution: of each student, (T, S, n). live: the teacher nodes that are not dead, (S, n°).
    level, negligible: see :func:`luckmatters.science.overlap.stands`.
    """
    counts = {"passed": (rho > level).sum(3), "standing": stands(rho, contribution, level, negligible).sum(3)}
    reached = counts["passed"] > 0
    means = {name: count.where(reached, torch.nan).double().nanmean(2) for name, count in counts.items()}
    best = torch.nn.functional.one_hot(rho.argmax(3), rho.shape[3]).bool()
    winners = (best & live[..., None]).any(2)
    share = (contribution * winners).sum(2) / contribution.sum(2)
    return {**means, "found": over_live(counts["standing"] > 0, live), "winners_share": share}


def fates(rho: Tensor, live: Tensor, epochs: Tensor, levels: Sequence[float]) -> dict[str, Tensor]:
    """The fate of each student of a layer, by quantity (see :func:`finish`), each (S, n).

    rho: (T, S, n°, n). live: the teacher nodes that are not dead, (S, n°). epochs: of the measurements, (T,).
    """
    alive = (rho[-1] != 0).any(1)
    rho = rho.masked_fill(~live[..., None], -torch.inf)
    final, teacher = rho[-1].max(1)  # (S, n)
    path = rho.gather(2, teacher.expand(len(rho), -1, -1)[:, :, None])[:, :, 0]  # (T, S, n): ρ with that teacher node
    start = path[0]
    others = rho[0].scatter(1, teacher[:, None], -torch.inf).amax(1)
    values = {
        "initial_overlap": start,
        "final_overlap": final,
        "initial_rank": initial_rank(rho[0], teacher),
        "margin": (start - others).where(others.isfinite(), torch.nan),
    }
    goals = {f"{level:g}": torch.full_like(start, level) for level in levels} | {HALF_WAY: (1 + start) / 2}
    for name, goal in goals.items():
        passed = path > goal
        first = passed.int().argmax(0)  # the first measurement above the goal
        values[f"time_{name}"] = epochs[first].where(passed.any(0), torch.nan)
    return {name: value.where(alive, torch.nan) for name, value in values.items()}


def initial_rank(rho: Tensor, teacher: Tensor) -> Tensor:
    """For each student and the given teacher node, the share of students with a greater ρ, (S, n).

    rho: (S, n°, n). teacher: the teacher node of each student, (S, n).
    """
    every = rho.gather(1, teacher[..., None].expand(-1, -1, rho.shape[2]))  # (S, n, n): of each student's teacher node
    own = rho.gather(1, teacher[:, None])[:, 0]
    return (every > own[..., None]).double().mean(2)
