"""Plain SGD, fused with the backward pass.

Each layer's weight gradient and update are one matrix product, ``W -= lr · g hᵀ``, so no gradient is ever stored; all
seeds of the batch take the step together.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from luckmatters.science.layers import backward, by_channel, forward
from luckmatters.science.networks import BATCH_NORM_EPS, BATCH_NORM_MOMENTUM, Networks
from luckmatters.science.pruning import Mask

Loss = Callable[[Tensor, Tensor, Tensor], float]


def squared_error(output: Tensor, target: Tensor, gradient: Tensor) -> float:
    """The mean over batch and outputs of (output − target)², all (S, n_out, B) (paper, Section 5).

    Writes the gradient by the outputs, up to a constant factor, which it returns: it goes into the step length.
    """
    torch.sub(output, target, out=gradient)
    return 2 / (output.shape[1] * output.shape[2])


def cross_entropy(output: Tensor, target: Tensor, gradient: Tensor) -> float:
    """The mean over the batch of −log softmax(output)[label]; output (S, n_out, B), labels (S, B); as above."""
    torch.softmax(output, 1, out=gradient)
    gradient.scatter_add_(1, target[:, None], torch.full_like(output[:, :1], -1))
    return 1 / output.shape[2]


class Trainer:
    """Takes SGD steps on S networks in place; owns the buffers that a step needs.

    mask: which weights take part; the others, which must be zero (see :func:`luckmatters.science.pruning.apply`), stay
    so. A seed whose parameters become infinite or NaN never reaches the others: no operation mixes the seed axis.
    """

    def __init__(self, networks: Networks, loss: Loss = squared_error, mask: Mask | None = None) -> None:
        self.networks = networks
        self.loss = loss
        self.mask = mask
        self._buffers: dict[tuple[str, int, int], Tensor] = {}
        # On a CPU convolutions run faster one network after another than as groups of channels: one network's
        # activations stay in cache, and a group of a single input channel is slow (measured: 1.3 to 1.6 times).
        lowest = networks.weights[0]
        in_turn = lowest.dim() == 5 and lowest.device.type == "cpu" and networks.seeds > 1
        masks = mask.each() if mask else [None] * networks.seeds
        in_turn_with = zip(networks.each(), masks, strict=True) if in_turn else []
        self._in_turn = [Trainer(one, loss, its) for one, its in in_turn_with]

    def step(self, x: Tensor, target: Tensor, lr: float) -> None:
        """One step on samples (S, n_in, B) and what the loss compares the outputs (S, n_out, B) with.

        There may be fewer sets of samples than networks: set k then serves S / S' networks in a row.
        """
        copies = self.networks.seeds // len(x)
        if copies > 1:
            target = target.repeat_interleave(copies, 0)
            if self.networks.weights[0].dim() == 5:
                x = x.repeat_interleave(copies, 0)
        for seed, trainer in enumerate(self._in_turn):
            trainer.step(x[seed : seed + 1], target[seed : seed + 1], lr)
        if self._in_turn:
            return
        net, last = self.networks, len(self.networks.weights) - 1
        inputs, outputs, saved = [x], [], []  # what each layer reads and gives; what each BatchNorm remembers

        for i, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
            z = forward(weight, bias, inputs[i], self._buffer("output", i, x))
            outputs.append(z)
            if i < last:
                if net.place == "after":
                    z.relu_()
                if net.norms:
                    z, *statistics = self._normalize(z, i)
                    saved.append(statistics)
                if net.place == "before":
                    z.relu_()
                inputs.append(z)

        g = torch.empty_like(z)
        rate = -lr * self.loss(z, target, g)
        for i in reversed(range(last + 1)):
            buffer = self._buffer("gradient", i - 1, x) if i else None
            below = backward(net.weights[i], net.biases[i], inputs[i], g, rate, below=i > 0, out=buffer)
            if self.mask:
                net.weights[i].mul_(self.mask.layers[i])  # while the layer is in cache
            if i:
                g = below
                if net.place == "before":
                    g = gate(g, inputs[i])
                if net.norms:
                    g = self._normalize_backward(g, outputs[i - 1], i - 1, saved[i - 1], rate)
                if net.place == "after":
                    g = gate(g, outputs[i - 1])

    def _buffer(self, use: str, layer: int, x: Tensor) -> Tensor | None:
        """A tensor (S, n, B) for a linear layer's nodes that the next step uses again; None for a convolution."""
        weight = self.networks.weights[layer]
        if weight.dim() > 3:
            return None
        key = (use, layer, x.shape[2])
        if key not in self._buffers:
            self._buffers[key] = x.new_empty(len(weight), weight.shape[1], x.shape[2])
        return self._buffers[key]

    def _normalize(self, x: Tensor, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """BatchNorm of a layer's activations over samples and positions: the S · n nodes are channels."""
        norm = self.networks.norms[layer]
        out, mean, inverse_std = torch.native_batch_norm(
            by_channel(x), norm.weight.view(-1), norm.bias.view(-1), norm.running_mean.view(-1),
            norm.running_var.view(-1), True, BATCH_NORM_MOMENTUM, BATCH_NORM_EPS,
        )  # fmt: skip
        return out.view(x.shape), mean, inverse_std

    def _normalize_backward(self, g: Tensor, x: Tensor, layer: int, saved: list[Tensor], rate: float) -> Tensor:
        """The gradient below a BatchNorm whose input was x; steps its weight and bias."""
        norm = self.networks.norms[layer]
        g_in, g_weight, g_bias = torch.ops.aten.native_batch_norm_backward(
            by_channel(g), by_channel(x), norm.weight.view(-1), norm.running_mean.view(-1),
            norm.running_var.view(-1), *saved, True, BATCH_NORM_EPS, [True, True, True],
        )  # fmt: skip
        norm.weight.view(-1).add_(g_weight, alpha=rate)
        norm.bias.view(-1).add_(g_bias, alpha=rate)
        return g_in.view(x.shape)


def gate(g: Tensor, activation: Tensor) -> Tensor:
    """The gradient below a ReLU, in place: zero wherever its activation is."""
    return torch.ops.aten.threshold_backward.grad_input(g, activation, 0, grad_input=g)


def learning_rate(schedule: list[tuple[int, float]], epoch: int) -> float:
    """The rate of an epoch (counted from 0) under a schedule of (first epoch, rate), ordered and starting at 0."""
    return next(rate for first, rate in reversed(schedule) if first <= epoch)
