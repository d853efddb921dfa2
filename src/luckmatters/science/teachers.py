"""Random teachers, whose nodes differ so that activations overlap little (paper, Section 5)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from luckmatters.science.layers import normalize_rows
from luckmatters.science.networks import BatchNorm, Networks, initialize_students
from luckmatters.science.random import generator
from luckmatters.science.shapes import fan_in, weight_shapes

GRID = np.array([-0.5, -0.25, 0.0, 0.25, 0.5], dtype=np.float32)


def separated_rows(nodes: int, fan_in: int, *, generator: np.random.Generator) -> Tensor:
    """Rows of random grid weights, (nodes, fan_in): no row all zero, no two rows alike.

    Raises ValueError if the grid has fewer such rows than there are nodes.
    """
    if nodes > len(GRID) ** fan_in - 1:
        raise ValueError(f"{nodes} nodes with {fan_in} inputs cannot all differ on a grid of {len(GRID)} values")
    rows: dict[tuple[float, ...], None] = {}  # a dict keeps the first of equal rows, in order
    while len(rows) < nodes:
        draw = generator.choice(GRID, (nodes - len(rows), fan_in))
        rows |= dict.fromkeys(map(tuple, draw[draw.any(1)].tolist()))
    return torch.tensor(list(rows))


def draw_teachers(
    inputs: Sequence[int],
    widths: Sequence[int],
    *,
    init: str,
    seeds: Sequence[int],
    kernel: int | None = None,
    bias: float | None = None,
    purpose: str = "teacher",
) -> Networks:
    """Random teachers, one for each seed, with the weights of every node normalized.

    inputs, widths, kernel: see :func:`luckmatters.science.shapes.weight_shapes`.
    init: ``separated`` (grid weights, biases uniform in ±0.5) or ``no_sep`` (torch's default initialization, the
    control).
    bias: added to the bias of every hidden node after normalization; None adds nothing.
    purpose: of the generators of separated teachers.
    Raises ValueError for another init.
    """
    if init == "no_sep":
        # The students' initialization, from other random streams: no student has a seed below zero.
        teachers = initialize_students(inputs, widths, seeds=[-1 - seed for seed in seeds], kernel=kernel)
    elif init == "separated":
        generators = [generator(purpose, seed) for seed in seeds]
        weights, biases = [], []
        for shape in weight_shapes(inputs, widths, kernel):
            rows = [separated_rows(shape[0], fan_in(shape), generator=g) for g in generators]
            weights.append(torch.stack(rows).view(len(seeds), *shape))
            biases.append(
                torch.stack([torch.from_numpy(g.random((shape[0], 1), dtype=np.float32)) - 0.5 for g in generators])
            )
        teachers = Networks(weights, biases, [])
    else:
        raise ValueError(f"unknown teacher init {init!r}")
    for layer in zip(teachers.weights, teachers.biases, strict=True):
        normalize_rows(*layer)
    for hidden in teachers.biases[:-1] if bias else []:
        hidden += bias
    return teachers


def unrelated_teachers(
    teachers: Networks, chosen: Sequence[int], inputs: Sequence[int], kernel: int | None = None
) -> Networks:
    """For each chosen teacher another teacher of the same shape, which the students of the chosen teacher never see.

    Teacher k has the neighbour k XOR 1, if there is such a teacher. Otherwise a separated random teacher is drawn from
    a separate stream; where teachers have BatchNorm, the drawn teacher's BatchNorm changes nothing.
    chosen: indices of teachers; inputs, kernel: see :func:`luckmatters.science.shapes.weight_shapes`.
    """
    missing = [k for k in chosen if k ^ 1 >= teachers.seeds]
    spare: dict[str, Tensor] = {}
    if missing:
        shape = {"inputs": inputs, "widths": teachers.widths, "kernel": kernel}
        drawn = draw_teachers(**shape, init="separated", seeds=missing, purpose="control-teacher")
        hidden = teachers.widths[: len(teachers.norms)]
        norms = [BatchNorm.identity(len(missing), width, "cpu", torch.float32) for width in hidden]
        spare = dict(Networks(drawn.weights, drawn.biases, norms, teachers.place).named_tensors())
    device = teachers.weights[0].device
    tensors = {
        name: torch.stack([spare[name][missing.index(k)].to(device) if k in missing else tensor[k ^ 1] for k in chosen])
        for name, tensor in teachers.named_tensors()
    }
    return Networks.from_state(tensors, device=str(device))
