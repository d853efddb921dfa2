"""Kind ``luck-speed``: which student node converges to which teacher node, and when (paper, Section 4)."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from luckmatters.config.schema import Run
from luckmatters.experiments.history import Progress, Result, diverged_by
from luckmatters.experiments.student_training import Data, initial_students, overlaps, select_teachers
from luckmatters.experiments.tables import joined, rows
from luckmatters.science.networks import Networks
from luckmatters.science.training import Trainer, learning_rate

HALF_WAY = "half_way"


def steps(run: Run) -> list[int]:
    """The steps after which students are measured, 0 first, then evenly in their logarithm."""
    settings = run.settings
    total = settings.training.epochs * steps_per_epoch(run)
    spaced = np.geomspace(min(settings.first_step, total), total, settings.measurements)
    return [0, *np.unique(spaced.round().astype(int)).tolist()]


def steps_per_epoch(run: Run) -> int:
    """Steps of one epoch, the last of which may be a smaller batch."""
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
    resume: Progress | None = None,
) -> Iterator[Progress]:
    """Yield the state of training at every measurement (``Progress.epoch`` counts them); else as student training."""
    teachers = select_teachers(run, teachers, seeds)
    x, _ = data.evaluation_set(seeds, run.settings.data.evaluation_samples)
    if resume is None:
        students = initial_students(run, seeds, device)
        state = Progress.none().record(students, evaluate(teachers, students, x))
        yield state
    else:
        state, students = resume, Networks.from_state(resume.network(), device=device)
    trainer, schedule = Trainer(students), [(step.epoch, step.rate) for step in run.settings.training.learning_rate]
    moments = steps(run)
    for step, (epoch, batch) in enumerate(
        batches(run, data, seeds, moments[state.epoch]), start=moments[state.epoch] + 1
    ):
        trainer.step(batch, teachers(batch), learning_rate(schedule, epoch))
        if step == moments[state.epoch + 1]:
            state = state.record(students, evaluate(teachers, students, x))
            yield state


def batches(run: Run, data: Data, seeds: Sequence[int], done: int) -> Iterator[tuple[int, Tensor]]:
    """The batches (S, n_in, B) after the first `done` of them, each with its epoch."""
    each = steps_per_epoch(run)
    for epoch in range(done // each, run.settings.training.epochs):
        skip = done - epoch * each if epoch == done // each else 0
        for block in data.blocks(seeds, epoch):
            parts = block.split(data.batch, dim=2)
            yield from ((epoch, part) for part in parts[skip:])
            skip = max(0, skip - len(parts))


def evaluate(teachers: Networks, students: Networks, x: Tensor) -> dict[str, Tensor]:
    """loss and finite, (S,), and for each layer rho (S, n°, n) and contribution, fan-out norm times spread, (S, n)."""
    gathered, found = overlaps(teachers, students, x)
    found["finite"] = students.finite()
    for layer, (overlap, norm) in enumerate(zip(gathered, students.fan_out_norms(), strict=True)):
        found |= {f"rho/{layer}": overlap.correlation(), f"contribution/{layer}": norm * overlap.student_spread()}
    return found


def finish(run: Run, seeds: Sequence[int], state: Progress) -> Result:
    """What became of every student node, and how many stand for each teacher node, as one table.

    Table: columns seed, epoch, layer, node, quantity, value. With a node (of the student; epoch 0; NaN if it is dead at
    the end): initial_overlap and final_overlap with the teacher node that it has the greatest ρ with at the end,
    initial_rank (share of the layer's students that start closer to it), margin (initial overlap minus the greatest
    with another teacher node), time_<level> and time_half_way (epochs until ρ passes the level, or has come half its
    way from its start to 1; NaN: never). Without: loss, diverged, and by layer passed (students with ρ above the first
    level per teacher node that has any), standing (those of them with a contribution as well), found (share of teacher
    nodes with a standing student), winners_share (of the layer's contribution, by the best student of each teacher
    node). Tensors: ``teacher/<layer>``, the node that each student ends on, (S, n).
    """
    history, settings = state.history(), run.settings
    epochs = np.array(steps(run)[: state.epoch + 1]) / steps_per_epoch(run)
    diverged = diverged_by(history)

    def curve(quantity: str, value: Tensor, layer: int | None = None) -> pd.DataFrame:
        return rows(quantity, value.double().masked_fill(diverged, torch.nan), layer, epoch=epochs, seed=seeds)

    def per_node(quantity: str, value: Tensor, layer: int) -> pd.DataFrame:
        value = value.masked_fill(diverged[-1][:, None], torch.nan)
        return rows(quantity, value, layer, epoch=[0.0], seed=seeds, node=range(value.shape[1]))

    tensors, frames = {}, [curve("loss", history["loss"]), rows("diverged", diverged, epoch=epochs, seed=seeds)]
    for layer in range(sum(name.startswith("rho/") for name in history)):
        rho, contribution = history[f"rho/{layer}"].double(), history[f"contribution/{layer}"].double()
        for quantity, value in standing(rho, contribution, settings.levels[0], settings.negligible).items():
            frames.append(curve(quantity, value, layer))
        for name, value in fates(rho, torch.from_numpy(epochs), settings.levels).items():
            frames.append(per_node(name, value, layer))
        tensors[f"teacher/{layer}"] = rho[-1].argmax(1)
    return Result(joined(frames), tensors)


def standing(rho: Tensor, contribution: Tensor, level: float, negligible: float) -> dict[str, Tensor]:
    """passed, standing, found, winners_share, each (T, S), from ρ (T, S, n°, n) and contributions (T, S, n)."""
    above = rho > level
    contributes = contribution >= negligible * contribution.amax(2, keepdim=True)
    stands = above & contributes[:, :, None]
    counts = {"passed": above.sum(3), "standing": stands.sum(3)}  # (T, S, n°)
    reached = counts["passed"] > 0
    found = {name: count.where(reached, torch.nan).double().nanmean(2) for name, count in counts.items()}
    best = torch.nn.functional.one_hot(rho.argmax(3), rho.shape[3]).bool()
    winners = (best & (rho != 0)).any(2)  # a dead teacher node has no winner
    share = (contribution * winners).sum(2) / contribution.sum(2)
    return {**found, "found": (counts["standing"] > 0).double().mean(2), "winners_share": share}


def fates(rho: Tensor, epochs: Tensor, levels: Sequence[float]) -> dict[str, Tensor]:
    """What became of each student, by quantity, each (S, n), from ρ (T, S, n°, n) at those epochs (T,)."""
    final = rho[-1].amax(1)
    teacher = rho[-1].argmax(1)  # (S, n)
    path = rho.gather(2, teacher.expand(len(rho), -1, -1)[:, :, None])[:, :, 0]  # (T, S, n): ρ with that teacher node
    start = path[0]
    others = rho[0].scatter(1, teacher[:, None], -torch.inf).amax(1)
    found = {
        "initial_overlap": start,
        "final_overlap": final,
        "initial_rank": initial_rank(rho[0], teacher),
        "margin": start - others,
    }
    goals = {f"{level:g}": torch.full_like(start, level) for level in levels} | {HALF_WAY: (1 + start) / 2}
    for name, goal in goals.items():
        passed = path > goal
        first = passed.int().argmax(0)  # the first moment of those that there are
        found[f"time_{name}"] = epochs[first].where(passed.any(0), torch.nan)
    alive = (rho[-1] != 0).any(1)
    return {name: value.where(alive, torch.nan) for name, value in found.items()}


def initial_rank(rho: Tensor, teacher: Tensor) -> Tensor:
    """For each student, the share of students with a greater ρ (S, n°, n) than its own with the given teacher node."""
    theirs = rho.gather(1, teacher[..., None].expand(-1, -1, rho.shape[2]))  # (S, n, n): of each student's teacher node
    own = rho.gather(1, teacher[:, None])[:, 0]
    return (theirs > own[..., None]).double().mean(2)
