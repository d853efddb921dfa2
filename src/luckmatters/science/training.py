"""Plain SGD on the mean squared error to the teacher's output, fused with the backward pass.

Each linear layer's weight gradient and update are one matrix product, ``W -= lr · g hᵀ``, so no gradient is ever
stored; all seeds of the batch take the step together.
"""

import torch
from torch import Tensor

from luckmatters.science.networks import BATCH_NORM_EPS, BATCH_NORM_MOMENTUM, FullyConnected


class Trainer:
    """Takes SGD steps on S networks in place; owns the buffers that a step needs.

    A seed whose parameters become infinite or NaN never reaches the others: no operation mixes the seed axis.
    """

    def __init__(self, network: FullyConnected) -> None:
        self.network = network
        self._buffers: dict[int, tuple[list[Tensor], list[Tensor]]] = {}

    def step(self, x: Tensor, y: Tensor, lr: float) -> None:
        """One step on inputs (S, n_in, B) and teacher outputs (S, n_out, B).

        The loss of a seed is the mean over batch and outputs of (student − teacher)².
        """
        net, last = self.network, len(self.network.weights) - 1
        outputs, gradients = self._allocate(x)
        inputs, saved = [x], []  # what each layer reads, and what each BatchNorm remembers

        for i, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
            z = torch.baddbmm(bias, weight, inputs[i], out=outputs[i])  # (S, out, in) x (S, in, B) -> (S, out, B)
            if i < last:
                z.relu_()
                if net.norms:
                    z, *statistics = self._normalize(z, i)
                    saved.append(statistics)
            inputs.append(z)

        # Of the loss's gradient, 2/(B · outputs) · (y − y°), the constant goes into the step length.
        rate = -lr * 2 / (y.shape[1] * y.shape[2])
        g = torch.sub(inputs[-1], y, out=gradients[-1])
        for i in reversed(range(last + 1)):
            if i:
                below = torch.bmm(net.weights[i].transpose(1, 2), g, out=gradients[i - 1])
            net.weights[i].baddbmm_(g, inputs[i].transpose(1, 2), alpha=rate)  # (S, out, B) x (S, B, in)
            net.biases[i].add_(g.sum(2, keepdim=True), alpha=rate)
            if i:
                if net.norms:
                    below = self._normalize_backward(below, outputs[i - 1], i - 1, saved[i - 1], rate)
                # The ReLU's gate: zero wherever the activation is.
                g = torch.ops.aten.threshold_backward.grad_input(below, outputs[i - 1], 0, grad_input=gradients[i - 1])

    def _allocate(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Buffers (S, n, B) of a batch size: one for each layer's output, one for each layer's gradient."""
        batch = x.shape[2]
        if batch not in self._buffers:
            shapes = [(x.shape[0], width, batch) for width in self.network.widths]
            self._buffers[batch] = ([x.new_empty(s) for s in shapes], [x.new_empty(s) for s in shapes])
        return self._buffers[batch]

    def _normalize(self, x: Tensor, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """BatchNorm of (S, n, B) over the batch: the S · n nodes are the channels of one sample of length B."""
        norm, shape = self.network.norms[layer], x.shape
        out, mean, inverse_std = torch.native_batch_norm(
            x.view(1, -1, shape[2]), norm.weight.view(-1), norm.bias.view(-1), norm.running_mean.view(-1),
            norm.running_var.view(-1), True, BATCH_NORM_MOMENTUM, BATCH_NORM_EPS,
        )  # fmt: skip
        return out.view(shape), mean, inverse_std

    def _normalize_backward(self, g: Tensor, x: Tensor, layer: int, saved: list[Tensor], rate: float) -> Tensor:
        """The gradient (S, n, B) below a BatchNorm whose input was x; steps its weight and bias."""
        norm, shape = self.network.norms[layer], g.shape
        g_in, g_weight, g_bias = torch.ops.aten.native_batch_norm_backward(
            g.view(1, -1, shape[2]), x.view(1, -1, shape[2]), norm.weight.view(-1), norm.running_mean.view(-1),
            norm.running_var.view(-1), *saved, True, BATCH_NORM_EPS, [True, True, True],
        )  # fmt: skip
        norm.weight.view(-1).add_(g_weight, alpha=rate)
        norm.bias.view(-1).add_(g_bias, alpha=rate)
        return g_in.view(shape)


def learning_rate(schedule: list[tuple[int, float]], epoch: int) -> float:
    """The rate of an epoch (counted from 0) under a schedule of (first epoch, rate), ordered and starting at 0."""
    return next(rate for first, rate in reversed(schedule) if first <= epoch)
