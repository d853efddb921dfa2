"""One layer of S networks at once, forward and backward: linear, or a convolution (no padding, stride 1).

The shape of the weights says which: (S, n_out, n_in), or (S, n_out, n_in, k, k). Biases are (S, n_out, 1).
Linear layers work on nodes with the samples last, (S, n, N), so that a layer is ``weight @ x``; convolutions on images,
(N, S · n, H, W), where the S networks are groups of channels, as libraries want it. Each layer takes either, and what
comes below the first layer, the samples (S, n_in, N), is the former.
"""

import math

import torch
from torch import Tensor

WIDE = 32  # channels read and given, from which a convolution counts as wide


def as_nodes(x: Tensor, seeds: int, dtype: torch.dtype | None = None) -> Tensor:
    """Images (N, S · n, H, W) as nodes (S, n · H · W, N) of that type, nodes as they are.

    A view if the type is theirs, unless channels lie together within each pixel.
    """
    return x if x.dim() == 3 else x.reshape(len(x), seeds, -1).permute(1, 2, 0).to(dtype or x.dtype)


def as_images(x: Tensor, channels: int) -> Tensor:
    """Nodes (S, n · H · H, N) as images (N, S · n, H, H); images as they are."""
    if x.dim() == 4:
        return x
    side = math.isqrt(x.shape[1] // channels)
    return x.permute(2, 0, 1).reshape(x.shape[2], -1, side, side)


def by_channel(x: Tensor) -> Tensor:
    """Activations with all networks' nodes as the channels, (…, S · n, …), as torch's BatchNorm takes them; a view."""
    return x if x.dim() == 4 else x.view(1, -1, x.shape[2])


def values(x: Tensor, seeds: int) -> Tensor:
    """All values of each node over samples and positions, (S, n, P)."""
    return x if x.dim() == 3 else x.view(len(x), seeds, -1, x[0, 0].numel()).permute(1, 2, 0, 3).flatten(2)


def stack(x: Tensor, sets: int) -> Tensor:
    """Networks in a row as one, node under node: (S, n, …) as (sets, S / sets · n, …), a view."""
    return x.view(sets, -1, x.shape[2])


def forward(
    weight: Tensor, bias: Tensor, x: Tensor, out: Tensor | None = None, precision: torch.dtype | None = None
) -> Tensor:
    """Pre-activations, nodes or images as the layer's kind is.

    out serves linear layers alone, precision convolutions alone: the type of numbers that they read and give, if it is
    not the weights'.

    Linear layers also take fewer sets of samples than networks, (S', n_in, N): set k serves S / S' networks in a row,
    which then are one matrix.
    """
    if weight.dim() == 3:
        nodes = as_nodes(x, len(weight), weight.dtype)
        stacked = None if out is None else stack(out, len(nodes))
        found = torch.baddbmm(stack(bias, len(nodes)), stack(weight, len(nodes)), nodes, out=stacked)
        return found.view(*weight.shape[:2], -1)  # (S, out, in) x (S, in, N)
    operands = as_images(x, weight.shape[2]), weight.flatten(0, 1), bias.flatten()
    if precision:
        operands = [one.to(precision) for one in operands]
        if prefers_channels_last(operands[0]):
            operands[0] = operands[0].contiguous(memory_format=torch.channels_last)
    return torch.conv2d(*operands, groups=len(weight))


def backward(
    weight: Tensor,
    x: Tensor,
    g: Tensor,
    rate: float,
    to_weight: Tensor,
    to_bias: Tensor,
    *,
    below: bool,
    out: Tensor | None = None,
) -> Tensor | None:
    """Add `rate` times the gradients by weight and bias, in place; return the gradient by x if `below` is true.

    x: what the layer read; g: the gradient by what it gave; to_weight, to_bias: what is added to, of the parameters'
    shapes, or the parameters themselves. The result has the shape of x (`out` serves it where x is nodes).
    """
    if weight.dim() == 3:
        nodes, result = as_nodes(x, len(weight), weight.dtype), None
        if below:
            result = torch.bmm(weight.transpose(1, 2), g, out=out)
            if x.dim() == 4:
                result = result.permute(2, 0, 1).reshape(x.shape)
                if result.dtype != x.dtype:  # BatchNorm sums what is not contiguous in the numbers' own type
                    order = torch.contiguous_format if x.is_contiguous() else torch.channels_last
                    result = result.to(x.dtype, memory_format=order)
        # (S, out, N) x (S, N, in)
        stack(to_weight, len(nodes)).baddbmm_(stack(g, len(nodes)), nodes.transpose(1, 2), alpha=rate)
        to_bias.add_(g.sum(2, keepdim=True), alpha=rate)
        return result
    operands = as_images(x, weight.shape[2]).to(g.dtype), weight.flatten(0, 1).to(g.dtype)
    library = not prefers_across_samples(weight, g)
    result, by_weight, by_bias = torch.ops.aten.convolution_backward(
        g, *operands, [to_bias.numel()], [1, 1], [0, 0], [1, 1], False, [0, 0], len(weight), [below, library, library],
    )  # fmt: skip
    if not library:
        by_weight, by_bias = across_samples(operands[0], g), g.sum((0, 2, 3))
    to_weight.add_(by_weight.view(weight.shape), alpha=rate)
    to_bias.add_(by_bias.view(to_bias.shape), alpha=rate)
    return result


def prefers_channels_last(images: Tensor) -> bool:
    """Whether a layer's images are better kept channel by channel within each pixel, and so in all layers above.

    Measured for one network, on an H200; for groups of several it is a guess.
    """
    return images.is_cuda


def prefers_across_samples(weight: Tensor, g: Tensor) -> bool:
    """Whether the gradient by the weights is faster by :func:`across_samples`: in wide layers, on AVX2 (measured)."""
    wide = len(weight) == 1 and min(weight.shape[1:3]) >= WIDE
    return wide and g.is_cpu and g.dtype == weight.dtype and torch.backends.cpu.get_cpu_capability() == "AVX2"


def across_samples(x: Tensor, g: Tensor) -> Tensor:
    """The gradient by one network's weights (n_out, n_in, k, k): the convolution of x with g, samples as channels.

    x: images (N, n_in, H, W); g: the gradient by what was given, (N, n_out, H - k + 1, W - k + 1).
    """
    return torch.conv2d(x.transpose(0, 1).contiguous(), g.transpose(0, 1).contiguous()).transpose(0, 1)
