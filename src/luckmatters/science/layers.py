"""Forward and backward pass of a layer of S networks at once: linear, or a convolution (no padding, stride 1).

Weights are (S, n_out, n_in) in a linear layer and (S, n_out, n_in, k, k) in a convolution. Biases are (S, n_out, 1).
Linear layers work on nodes with the samples last, (S, n, N), so that a layer is ``weight @ x``. Convolutions work on
images, (N, S · n, H, W), where the S networks are groups of channels, as libraries want it. Each layer takes nodes or
images. The samples below the first layer are nodes, (S, n_in, N).
"""

import math

import torch
from torch import Tensor

NORM_EPS = 1e-5  # added to the norm of each row before the division, as published
WIDE = 32  # a convolution is wide from so many channels, both read and given


def normalize_rows(weight: Tensor, bias: Tensor) -> None:
    """Divide the weights and the bias of each node by the L2 norm (+ 1e-5) of the node's weights, in place.

    weight: (S, n_out, …); bias: (S, n_out, 1).
    """
    norm = weight.flatten(2).norm(dim=2, keepdim=True) + NORM_EPS
    weight.div_(norm.view(*norm.shape[:2], *[1] * (weight.dim() - 2)))
    bias.div_(norm)


def as_nodes(x: Tensor, seeds: int, dtype: torch.dtype | None = None) -> Tensor:
    """Images as nodes (S, n · H · W, N); nodes stay as they are.

    x: images (N, S · n, H, W) or nodes; seeds: S; dtype: the type of the nodes, the images' type if None. The result is
    a view unless the type changes or the channels lie together within each pixel.
    """
    return x if x.dim() == 3 else x.reshape(len(x), seeds, -1).permute(1, 2, 0).to(dtype or x.dtype)


def as_images(x: Tensor, channels: int) -> Tensor:
    """Nodes as images (N, S · n, H, H); images stay as they are.

    x: nodes (S, n · H · H, N) or images; channels: n.
    """
    if x.dim() == 4:
        return x
    side = math.isqrt(x.shape[1] // channels)
    return x.permute(2, 0, 1).reshape(x.shape[2], -1, side, side)


def by_channel(x: Tensor) -> Tensor:
    """A view of activations with the nodes of all networks as channels, (…, S · n, …), for torch's BatchNorm."""
    return x if x.dim() == 4 else x.view(1, -1, x.shape[2])


def values(x: Tensor, seeds: int) -> Tensor:
    """All values of each node over samples and positions, (S, n, P).

    x: nodes (S, n, N) or images (N, S · n, H, W); seeds: S.
    """
    return x if x.dim() == 3 else x.view(len(x), seeds, -1, x[0, 0].numel()).permute(1, 2, 0, 3).flatten(2)


def stack(x: Tensor, sets: int) -> Tensor:
    """A view in which S / sets networks in a row become one network, node under node: (sets, S / sets · n, …).

    x: (S, n, …).
    """
    return x.view(sets, -1, x.shape[2])


def forward(
    weight: Tensor, bias: Tensor, x: Tensor, out: Tensor | None = None, precision: torch.dtype | None = None
) -> Tensor:
    """Pre-activations of a layer: nodes of a linear layer, images of a convolution.

    weight, bias: see the module; x: nodes or images that the layer reads.
    out: memory for the result of a linear layer, (S, n_out, N).
    precision: the type of numbers that a convolution reads and gives, if not the type of the weights.
    A linear layer also takes fewer sets of samples than networks, (S', n_in, N). Set k then serves S / S' networks in a
    row, which form one matrix.
    """
    if weight.dim() == 3:
        nodes = as_nodes(x, len(weight), weight.dtype)
        stacked = None if out is None else stack(out, len(nodes))
        sums = torch.baddbmm(stack(bias, len(nodes)), stack(weight, len(nodes)), nodes, out=stacked)
        return sums.view(*weight.shape[:2], -1)  # (S, out, in) x (S, in, N)
    operands = as_images(x, weight.shape[2]), weight.flatten(0, 1), bias.flatten()
    if precision:
        operands = [operand.to(precision) for operand in operands]
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
    """Add `rate` times the gradients by weight and bias in place, and return the gradient by x.

    x: the layer's input; g: the gradient by the layer's result.
    to_weight, to_bias: the tensors that change, in the shapes of weight and bias; they may be weight and bias.
    below: whether the gradient by x is wanted, in the shape of x; otherwise the result is None.
    out: memory for the gradient by x where x is nodes.
    """
    if weight.dim() == 3:
        nodes, result = as_nodes(x, len(weight), weight.dtype), None
        if below:
            result = torch.bmm(weight.transpose(1, 2), g, out=out)
            if x.dim() == 4:
                result = result.permute(2, 0, 1).reshape(x.shape)
                if result.dtype != x.dtype:  # BatchNorm sums non-contiguous numbers in their own type
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
    """Whether convolutions are faster on images whose channels lie together within each pixel, in all layers above too.

    Measured for one network, on an H200; a guess for groups of several networks.
    """
    return images.is_cuda


def prefers_across_samples(weight: Tensor, g: Tensor) -> bool:
    """Whether :func:`across_samples` is the faster gradient by the weights: in wide layers, on AVX2 (measured)."""
    wide = len(weight) == 1 and min(weight.shape[1:3]) >= WIDE
    return wide and g.is_cpu and g.dtype == weight.dtype and torch.backends.cpu.get_cpu_capability() == "AVX2"


def across_samples(x: Tensor, g: Tensor) -> Tensor:
    """The gradient by one network's weights, (n_out, n_in, k, k): the convolution of x with g, samples as channels.

    x: images (N, n_in, H, W); g: the gradient by the layer's result, (N, n_out, H - k + 1, W - k + 1).
    """
    return torch.conv2d(x.transpose(0, 1).contiguous(), g.transpose(0, 1).contiguous()).transpose(0, 1)
