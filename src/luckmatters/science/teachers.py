"""Random teachers (paper, Section 5: nodes drawn apart so that their activations overlap little)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from luckmatters.science.networks import BatchNorm, Networks, initialize_students
from luckmatters.science.random import generator
from luckmatters.science.shapes import fan_in, weight_shapes

GRID = np.array([-0.5, -0.25, 0.0, 0.25, 0.5], dtype=np.float32)
NORM_EPS = 1e-5  # added to each row's norm before dividing, as published


def separated_rows(nodes: int, fan_in: int, *, generator: np.random.Generator) -> Tensor:
    """Rows (nodes, fan_in) of grid weights: no row all zero, no two rows alike.

    Raises ValueError if the grid has fewer such rows than there are nodes.
    """
    if nodes > len(GRID) ** fan_in - 1:
        raise ValueError(f"{nodes} nodes with {fan_in} inputs cannot all differ on a grid of {len(GRID)} values")
    rows: dict[tuple[float, ...], None] = {}  # a dict keeps the first of equal rows, in order
    while len(rows) < nodes:
        draw = generator.choice(GRID, (nodes - len(rows), fan_in))
        rows |= dict.fromkeys(map(tuple, draw[draw.any(1)].tolist()))
    return torch.tensor(list(rows))


def normalize_rows(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Divide each node's weights (S, n_out, …), and its bias (S, n_out, 1), by their L2 norm (+ 1e-5)."""
    norm = weight.flatten(2).norm(dim=2, keepdim=True) + NORM_EPS
    return weight / norm.view(*norm.shape[:2], *[1] * (weight.dim() - 2)), bias / norm


def draw_teachers(
    inputs: Sequence[int],
    widths: Sequence[int],
    *,
    init: str,
    seeds: Sequence[int],
    kernel: int | None = None,
    purpose: str = "teacher",
) -> Networks:
    """One random teacher a seed, every node's weights normalized.

    init: ``separated`` (grid weights, biases uniform in ±0.5) or ``no_sep`` (torch's default initialization, the
    control). inputs, widths, kernel: see :func:`luckmatters.science.shapes.weight_shapes`. purpose: of the generators
    of separated ones. Raises ValueError for another init.
    """
    if init == "no_sep":
        # The students' own initialization from a stream of its own: seeds below zero are never students.
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
    pairs = [normalize_rows(*pair) for pair in zip(teachers.weights, teachers.biases, strict=True)]
    return Networks([w for w, _ in pairs], [b for _, b in pairs], [])


def unrelated_teachers(
    teachers: Networks, chosen: Sequence[int], inputs: Sequence[int], kernel: int | None = None
) -> Networks:
    """For each chosen teacher, by its number, another of the same shape that its students never see.

    That is the neighbour, number k XOR 1, where there is one; else a separated random teacher from a stream of its own,
    with a BatchNorm that changes nothing where teachers have any. inputs, kernel: as above.
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
    found = {
        name: torch.stack([spare[name][missing.index(k)].to(device) if k in missing else tensor[k ^ 1] for k in chosen])
        for name, tensor in teachers.named_tensors()
    }
    return Networks.from_state(found, device=str(device))
