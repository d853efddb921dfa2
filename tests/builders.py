"""Small networks and samples that several tests build."""

import math

import torch

from luckmatters.science.networks import Networks, initialize_students

WIDTHS = [7, 5, 9, 4]


CONV = {"inputs": (2, 8, 8), "widths": [3, 5, 4], "kernel": 3}


FULL = {"inputs": (6,), "widths": WIDTHS, "kernel": None}


# What a step in bfloat16 may be off by, as a share of its length: rounding by 2^-8 turns about that share of the gates
# of either hidden layer, and a share p of turned gates changes a gradient by √p of its length.
ROUNDING = (2 * 2**-8) ** 0.5


def draw(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def students(
    seeds: list[int],
    norm: str | None,
    dtype: torch.dtype = torch.float64,
    shape: dict = FULL,
    device: str = "cpu",
) -> Networks:
    """norm: the place of BatchNorm, or None."""
    options = {"batch_norm": norm is not None, "place": norm or "after", "device": device, "dtype": dtype}
    return initialize_students(**shape, seeds=seeds, **options)


def inputs(shape: dict) -> int:
    return math.prod(shape["inputs"])


def vanishes(name: str) -> bool:
    """Whether this is a bias of CONV whose shifts BatchNorm takes away, so that hardly anything is left of its step."""
    return name.endswith("bias") and name not in ("norm.1.bias", "norm-before.1.bias", "layer.2.bias")
