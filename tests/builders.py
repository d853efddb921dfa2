"""Small networks and samples that several tests build."""

import math

import torch

from luckmatters.science.networks import Networks, initialize_students

WIDTHS = [7, 5, 9, 4]


CONV = {"inputs": (2, 8, 8), "widths": [3, 5, 4], "kernel": 3}


FULL = {"inputs": (6,), "widths": WIDTHS, "kernel": None}


# Tolerance of a step in bfloat16, as a share of the step's length. Rounding by 2^-8 turns about that share of the gates
# in each of two hidden layers. A share p of turned gates changes a gradient by √p of the gradient's length.
ROUNDING = (2 * 2**-8) ** 0.5


def draw(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Standard normal numbers of a seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def students(
    seeds: list[int],
    norm: str | None,
    dtype: torch.dtype = torch.float64,
    shape: dict = FULL,
    device: str = "cpu",
) -> Networks:
    """Untrained students of these seeds; norm: the place of BatchNorm, or None."""
    options = {"batch_norm": norm is not None, "place": norm or "after", "device": device, "dtype": dtype}
    return initialize_students(**shape, seeds=seeds, **options)


def inputs(shape: dict) -> int:
    """Number of inputs of a sample."""
    return math.prod(shape["inputs"])


def vanishes(name: str) -> bool:
    """Whether a parameter of CONV is a bias that BatchNorm cancels, so that its steps nearly vanish."""
    return name.endswith("bias") and name not in ("norm.1.bias", "norm-before.1.bias", "layer.2.bias")
