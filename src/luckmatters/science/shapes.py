"""Shapes of a network's weights, as plain numbers without tensors."""

import math
from collections.abc import Sequence


def weight_shapes(inputs: Sequence[int], widths: Sequence[int], kernel: int | None = None) -> list[tuple[int, ...]]:
    """The weight shape of each layer, the output layer last (paper, Section 5: no padding, no pooling).

    inputs: the shape of a sample, (n,) or (channels, height, width), with height = width for convolutions.
    widths: the nodes or channels of each layer, the output layer last.
    kernel: None: all layers are linear, (n_out, n_in). A number: hidden layers are convolutions,
    (n_out, n_in, kernel, kernel), and a linear output layer reads all positions of the last convolution's channels.
    Raises ValueError if the image is too small for the kernels, and TypeError if inputs or widths are a number.
    """
    if isinstance(inputs, int) or isinstance(widths, int):
        raise TypeError(f"inputs and widths are lists, such as [20] and [10, 15, 100], got {inputs} and {widths}")
    if kernel is None:
        fan_ins = [math.prod(inputs), *widths]
        return list(zip(widths, fan_ins, strict=False))
    channels, side = inputs[0], inputs[-1]
    shapes: list[tuple[int, ...]] = []
    for width in widths[:-1]:
        shapes.append((width, channels, kernel, kernel))
        channels, side = width, side - kernel + 1
    if side < 1:
        raise ValueError(f"{len(widths) - 1} convolutions of size {kernel} leave nothing of an image of {inputs[-1]}")
    return [*shapes, (widths[-1], channels * side**2)]


def scaled(widths: Sequence[int], size: float) -> list[int]:
    """Hidden widths multiplied by `size`; halves are rounded up."""
    return [math.floor(size * width + 0.5) for width in widths]


def fan_in(shape: Sequence[int]) -> int:
    """The number of inputs of a node in a layer whose weights have a given shape.

    shape: (n_out, n_in, …).
    """
    return math.prod(shape[1:])


def training_operations(inputs: Sequence[int], widths: Sequence[int], kernel: int | None = None) -> int:
    """The number of floating-point operations of a training step for one sample.

    Each weight and position needs a multiplication and an addition: in the forward pass, for the gradient of the
    weights and, above the lowest layer, for the gradient of the activations.
    inputs, widths, kernel: see :func:`weight_shapes`.
    """
    total, side = 0, inputs[-1]
    for index, shape in enumerate(weight_shapes(inputs, widths, kernel)):
        side -= len(shape) == 4 and kernel - 1
        positions = side**2 if len(shape) == 4 else 1
        total += 2 * positions * math.prod(shape) * (3 if index else 2)
    return total
