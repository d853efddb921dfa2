"""Kind ``decision-lines``: where the hidden nodes of small networks on two inputs switch on (authors' notebook)."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.random import generator
from luckmatters.science.teachers import draw_teachers
from luckmatters.science.training import Trainer
from luckmatters.settings.experiment import Run
from luckmatters.tables.history import Result, TrainingState
from luckmatters.tables.rows import joined, rows

INPUTS = 2


def simulate(
    run: Run, seeds: Sequence[int], *, device: str = "cpu", resume: TrainingState | None = None
) -> Iterator[TrainingState]:
    """Yield the state after every epoch of plain gradient descent on the squared error, the initial state first.

    resume: a state yielded earlier; what follows is what the undisturbed run would have yielded.
    """
    settings = run.settings
    teachers = Networks.from_state(draw_teacher_networks(run, seeds).state(), device=device)
    if resume:
        students, state = Networks.from_state(resume.network(), device=device), resume
    else:
        widths = [settings.students, settings.outputs]
        students = initialize_students((INPUTS,), widths, seeds=seeds, device=device)
        state = TrainingState.none().record(students, measure(students, teachers, seeds, settings.std, device))
        yield state
    trainer = Trainer(students)
    for epoch in range(state.epoch, settings.epochs):
        shape = (settings.steps_per_epoch, INPUTS, settings.batch)
        for x in samples("decision-lines", seeds, shape, settings.std, epoch).to(device).unbind(1):
            trainer.step(x, teachers(x), settings.learning_rate)
        state = state.record(students, measure(students, teachers, seeds, settings.std, device))
        yield state


def last(run: Run) -> int:
    """The last epoch."""
    return run.settings.epochs


def describe(run: Run) -> str:
    """The samples, for captions."""
    return f"x ~ N(0, {run.settings.std:g}² I) in the plane, a new batch of {run.settings.batch} every step; generated"


def draw_teacher_networks(run: Run, seeds: Sequence[int]) -> Networks:
    """A random teacher for each seed, the same for students of every size."""
    settings = run.settings
    return draw_teachers((INPUTS,), [settings.teacher_nodes, settings.outputs], init="separated", seeds=seeds)


def samples(purpose: str, seeds: Sequence[int], shape: tuple[int, ...], std: float, *key: int) -> Tensor:
    """Normal samples (S, *shape), a random stream for each seed."""
    drawn = [generator(purpose, seed, *key).standard_normal(shape, dtype=np.float32) for seed in seeds]
    return torch.from_numpy(np.stack(drawn)).mul_(std)


def measure(students: Networks, teachers: Networks, seeds: Sequence[int], std: float, device: str) -> dict[str, Tensor]:
    """The quantities that are recorded after an epoch.

    loss: on 1,024 fresh samples, (S,). fan_out: norms of the fan-out weights, (S, n). lines: weights and bias of each
    node, (S, n, 3).
    """
    x = samples("decision-lines-evaluation", seeds, (INPUTS, 1024), std).to(device)
    loss = (students(x) - teachers(x)).square().mean((1, 2))
    return {"loss": loss, "fan_out": students.fan_out_norms()[0], "lines": lines(students)}


def lines(networks: Networks) -> Tensor:
    """w and b of the line w · x + b = 0 of each hidden node, (S, n, 3)."""
    return torch.cat([networks.weights[0], networks.biases[0]], dim=2)


def finish(run: Run, seeds: Sequence[int], state: TrainingState) -> Result:
    """The table and tensors of a finished run.

    table: columns seed, epoch, layer, node, quantity, value. Quantities: loss, diverged (0/1) and, by student node,
    fan_out_norm.
    tensors: lines (T + 1, S, n, 3) and fan_out (T + 1, S, n) of the students, teacher_lines (S, n°, 3) and
    teacher_fan_out (S, n°).
    """
    history, teachers = state.history(), draw_teacher_networks(run, seeds)
    whole = {"loss": history["loss"], "diverged": (~history["loss"].isfinite()).cummax(0).values}
    fan_out = history["fan_out"]
    moments = {"epoch": range(len(fan_out)), "seed": seeds}
    frames = [rows(name, value, **moments) for name, value in whole.items()]
    frames.append(rows("fan_out_norm", fan_out, 0, **moments, node=range(fan_out.shape[2])))
    tensors = {
        "lines": history["lines"], "fan_out": fan_out,
        "teacher_lines": lines(teachers), "teacher_fan_out": teachers.fan_out_norms()[0],
    }  # fmt: skip
    return Result(joined(frames), tensors)
