"""Random teachers (paper, Section 5: nodes drawn apart so that their activations overlap little)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from luckmatters.science.networks import FullyConnected, initialize_students
from luckmatters.science.random import generator

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
    """Divide each row of the weight (…, n_out, n_in), and its bias (…, n_out, 1), by the row's L2 norm (+ 1e-5)."""
    norm = weight.norm(dim=-1, keepdim=True) + NORM_EPS
    return weight / norm, bias / norm


def draw_teachers(inputs: int, widths: Sequence[int], *, init: str, seeds: Sequence[int]) -> FullyConnected:
    """One random teacher a seed, every layer's rows normalized.

    init: ``separated`` (grid weights, biases uniform in ±0.5) or ``no_sep`` (torch's default initialization, the
    control). widths: nodes of each layer, the output layer last. Raises ValueError for another init.
    """
    if init == "no_sep":
        # The students' own initialization from a stream of its own: seeds below zero are never students.
        teachers = initialize_students(inputs, widths, seeds=[-1 - seed for seed in seeds])
    elif init == "separated":
        generators = [generator("teacher", seed) for seed in seeds]
        weights, biases = [], []
        for fan_in, width in zip([inputs, *widths], widths, strict=False):
            weights.append(torch.stack([separated_rows(width, fan_in, generator=g) for g in generators]))
            biases.append(
                torch.stack([torch.from_numpy(g.random((width, 1), dtype=np.float32)) - 0.5 for g in generators])
            )
        teachers = FullyConnected(weights, biases, [])
    else:
        raise ValueError(f"unknown teacher init {init!r}")
    pairs = [normalize_rows(*pair) for pair in zip(teachers.weights, teachers.biases, strict=True)]
    return FullyConnected([w for w, _ in pairs], [b for _, b in pairs], [])
