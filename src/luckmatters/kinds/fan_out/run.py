"""Kind ``fan-out``: fan-out norms of over-parameterized students under the matrix dynamics (paper, Theorem 5)."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from luckmatters.science.dynamics import Dynamics, draw_students, draw_teacher, with_constant
from luckmatters.science.random import generator
from luckmatters.settings.experiment import Run
from luckmatters.tables.history import Result, TrainingState
from luckmatters.tables.rows import joined, rows


def simulate(
    run: Run, seeds: Sequence[int], *, device: str = "cpu", resume: TrainingState | None = None
) -> Iterator[TrainingState]:
    """Yield the state after every epoch, the initial state first; all starts of all seeds are one batch.

    resume: a state yielded earlier; what follows is what the undisturbed run would have yielded.
    """

    def inputs(epoch: int) -> Tensor:
        settings = run.settings
        return with_constant(samples(seeds, epoch, settings.steps_per_epoch, settings.batch, settings.widths[0]))

    yield from follow(run, *draw(run, seeds), measure, inputs, device=device, resume=resume)


def follow(
    run: Run,
    teacher: Sequence[Tensor],
    students: Sequence[Tensor],
    measure: Callable[[Dynamics], dict[str, Tensor]],
    inputs: Callable[[int], Tensor],
    *,
    frozen: Sequence[int] = (),
    device: str,
    resume: TrainingState | None,
) -> Iterator[TrainingState]:
    """Let students follow the teachers, and yield the state after every epoch, the initial state first.

    teacher, students: weights by layer, (S, n_in + 1, n_out) and (S, C, n_in + 1, n_out).
    measure: the quantities that are recorded after each epoch.
    inputs: the batches of an epoch, with the constant input, (T, S, N, n_in + 1).
    frozen: layers that are not changed.
    resume: a state yielded earlier, to go on from.
    """
    settings = run.settings
    if resume:
        students = [resume.network()[f"layer.{layer}"] for layer in range(len(students))]
    dynamics = Dynamics(
        [weight.to(device) for weight in students],
        [weight.to(device) for weight in teacher],
        frozen=frozen,
        accurate=settings.gradient == "accurate",
    )
    state = resume or TrainingState.none().record(dynamics, measure(dynamics))
    if not resume:
        yield state
    for epoch in range(state.epoch, settings.epochs):
        dynamics.run(inputs(epoch).to(device), settings.learning_rate)
        state = state.record(dynamics, measure(dynamics))
        yield state


def last(run: Run) -> int:
    """The last epoch."""
    return run.settings.epochs


def describe(run: Run) -> str:
    """The samples, for captions."""
    return f"x ~ N(0, I), a new batch of {run.settings.batch} every step; generated"


def draw(run: Run, seeds: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
    """Teachers, by layer (S, n_in + 1, n_out), and students, by layer (S, C, n_in + 1, n_out)."""
    settings, teachers, students = run.settings, [], []
    for seed in seeds:
        teacher = draw_teacher(settings.widths, settings.bias, generator=generator("fan-out-teacher", seed))
        stream = generator("fan-out-students", seed)
        teachers.append(teacher)
        students.append(draw_students(teacher, settings.multiplier, list(settings.starts.values()), generator=stream))
    return ([torch.stack(layer) for layer in zip(*networks, strict=True)] for networks in (teachers, students))


def samples(seeds: Sequence[int], epoch: int, steps: int, batch: int, inputs: int) -> Tensor:
    """The batches of an epoch, (T, S, N, n_in): standard normal, a random stream for each seed and epoch."""
    shape = (steps, batch, inputs)
    drawn = [generator("fan-out-samples", seed, epoch).standard_normal(shape, dtype=np.float32) for seed in seeds]
    return torch.from_numpy(np.stack(drawn, axis=1))


def measure(dynamics: Dynamics) -> dict[str, Tensor]:
    """Fan-out norms of every hidden layer l, norm/l (S, C, n), and cosines of fan-ins in the lowest layer.

    matched_cosine, (S, C): of each teacher node with the student node at the same place, mean over teacher nodes.
    best_cosine, (S, C): of each teacher node with the closest student node, mean over teacher nodes.
    winner, (S, C, n°): the place of the closest student node. Biases count as weights.
    """
    norms = {f"norm/{layer}": w[:, :, :-1].norm(dim=3) for layer, w in enumerate(dynamics.layers[1:])}
    cosines = dynamics.teacher[0].mT[:, None] @ dynamics.layers[0]  # (S, 1, n°, n_in + 1) x (S, C, n_in + 1, n)
    best, winner = cosines.max(3)
    matched = cosines.diagonal(dim1=2, dim2=3)
    return norms | {"matched_cosine": matched.mean(2), "best_cosine": best.mean(2), "winner": winner}


def finish(run: Run, seeds: Sequence[int], state: TrainingState) -> Result:
    """The table and tensors of a finished run.

    table: columns seed, start, epoch, layer, quantity, value. Quantities: diverged (0/1). For every hidden layer
    matched_norm and unmatched_norm, the mean fan-out norm of the first n° nodes and of the other nodes. For the lowest
    layer also winner_norm and other_norm, the mean fan-out norm of the nodes that are closest to teacher nodes at that
    epoch and of all other nodes, and matched_cosine and best_cosine (see :func:`measure`).
    tensors: norm/l, fan-out norms at the snapshots, (snapshots, S, C, n).
    """
    settings, history = run.settings, state.history()

    def by_start(quantity: str, value: Tensor, layer: int | None = 0) -> pd.DataFrame:
        return rows(quantity, value, layer, epoch=range(len(value)), seed=seeds, start=settings.starts)

    frames = [by_start("diverged", (~history["norm/0"].isfinite().all(3)).cummax(0).values, None)]
    for layer, matched in enumerate(settings.widths[1:-1]):
        norm = history[f"norm/{layer}"].double()
        frames.append(by_start("matched_norm", norm[..., :matched].mean(3), layer))
        frames.append(by_start("unmatched_norm", norm[..., matched:].mean(3), layer))
    norm = history["norm/0"].double()
    won = torch.zeros_like(norm).scatter_(3, history["winner"], 1)  # two teacher nodes may have the same winner
    frames.append(by_start("winner_norm", (norm * won).sum(3) / won.sum(3)))
    frames.append(by_start("other_norm", (norm * (1 - won)).sum(3) / (1 - won).sum(3)))
    frames += [by_start(name, history[name]) for name in ("matched_cosine", "best_cosine")]
    hidden = range(len(settings.widths) - 2)
    tensors = {f"norm/{layer}": history[f"norm/{layer}"][settings.snapshots] for layer in hidden}
    return Result(joined(frames), tensors)
