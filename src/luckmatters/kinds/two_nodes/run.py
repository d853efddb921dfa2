"""Kind ``two-nodes``: measured and predicted times of student nodes to reach their teacher nodes (paper, Section 4)."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from luckmatters.kinds.fan_out.run import follow, samples
from luckmatters.science.dynamics import Dynamics, normalize_columns, with_constant
from luckmatters.science.random import generator
from luckmatters.science.two_nodes import convergence_time
from luckmatters.settings.experiment import Run
from luckmatters.tables.history import Result, TrainingState
from luckmatters.tables.rows import joined, rows

NODES = 2


def simulate(
    run: Run, seeds: Sequence[int], *, device: str = "cpu", resume: TrainingState | None = None
) -> Iterator[TrainingState]:
    """Yield the state after every epoch, the initial state first; all pairs of students are one batch.

    resume: a state yielded earlier; what follows is what the undisturbed run would have yielded.
    """

    def inputs(epoch: int) -> Tensor:
        settings = run.settings
        x = samples(seeds, epoch, settings.steps_per_epoch, settings.batch, settings.inputs)
        return with_constant(x, 0.0)  # with a constant input of 0 the biases stay at 0

    yield from follow(run, *draw(run, seeds), measure, inputs, frozen=[1], device=device, resume=resume)


def last(run: Run) -> int:
    """The last epoch."""
    return run.settings.epochs


def describe(run: Run) -> str:
    """The samples, for captions."""
    return f"x ~ N(0, I) in {run.settings.inputs} dimensions, a new batch of {run.settings.batch} every step; generated"


def draw(run: Run, seeds: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
    """Teachers, by layer (S, n_in + 1, n_out), and students, by layer (S, C, n_in + 1, n_out).

    Fan-ins are random directions. Fan-out vectors are random, orthonormal, and the same in teacher and students. All
    biases are 0.
    """
    settings, teachers, students = run.settings, [], []
    for seed in seeds:
        stream = generator("two-nodes", seed)
        fan_out = np.linalg.qr(stream.standard_normal((settings.outputs, NODES)))[0].T
        fan_in = stream.standard_normal((1 + settings.replicas, settings.inputs, NODES))
        first = normalize_columns(without_bias(fan_in))
        second = without_bias(fan_out)
        teachers.append([first[0], second])
        students.append([first[1:], second.expand(settings.replicas, -1, -1)])
    return ([torch.stack(layer) for layer in zip(*networks, strict=True)] for networks in (teachers, students))


def without_bias(weight: np.ndarray) -> Tensor:
    """Weights (…, n_in, n_out) with a bias row of zeros below."""
    return torch.nn.functional.pad(torch.from_numpy(weight).float(), (0, 0, 0, 1))


def measure(dynamics: Dynamics) -> dict[str, Tensor]:
    """cosine: between the weights of each student node and of the teacher node at the same place, (S, C, 2)."""
    return {"cosine": (dynamics.teacher[0][:, None] * dynamics.layers[0]).sum(2)}


def finish(run: Run, seeds: Sequence[int], state: TrainingState) -> Result:
    """The table of a finished run.

    Columns seed, replica, epoch (0), layer (0), node, quantity, value. Quantities: initial_cosine; diverged (0/1); for
    each level time_*, predicted_* and converged_* (0/1). time_* is the first time that the cosine passes the level,
    linear between two measurements, NaN if never. Times are in steps times the learning rate.
    """
    settings, cosine = run.settings, state.history()["cosine"].double().numpy()  # (T + 1, S, C, 2)
    every = settings.steps_per_epoch * settings.learning_rate
    values = {"initial_cosine": cosine[0], "diverged": (~np.isfinite(cosine)).any(0).astype(float)}
    for level in settings.levels:
        values[f"time_{level:g}"] = first_passing(cosine, level) * every
        values[f"predicted_{level:g}"] = convergence_time(cosine[0], level)
        values[f"converged_{level:g}"] = (~np.isnan(values[f"time_{level:g}"])).astype(float)
    axes = {"epoch": [0], "seed": seeds, "replica": range(settings.replicas), "node": range(NODES)}
    return Result(joined(rows(name, value, 0, **axes) for name, value in values.items()), {})


def first_passing(values: np.ndarray, level: float) -> np.ndarray:
    """The time in epochs, with a fraction, when values (T + 1, …) first reach the level; NaN if never."""
    reached = values >= level
    after = reached.argmax(0)
    before = np.maximum(after - 1, 0)
    low, high = (np.take_along_axis(values, at[None], 0)[0] for at in (before, after))
    part = np.divide(level - low, high - low, out=np.zeros_like(low), where=after > before)
    return np.where(reached.any(0), np.where(after > before, before + part, 0.0), np.nan)
