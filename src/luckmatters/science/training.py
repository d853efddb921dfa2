"""SGD, fused with the backward pass.

A single matrix product, ``W -= lr · g hᵀ``, computes the weight gradient of a layer and updates the weights. No
gradient is stored. All seeds of the batch take a step together. Students learn by plain SGD. Teachers may have
momentum; the product then goes into the velocity.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache

import torch
from torch import Tensor

from luckmatters.science.layers import backward, by_channel, forward, normalize_rows
from luckmatters.science.networks import BATCH_NORM_EPS, BATCH_NORM_MOMENTUM, BatchNorm, Networks
from luckmatters.science.pruning import Mask

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], float]
VELOCITY = "velocity/"  # before the names of the velocity's tensors in a trainer's state


def squared_error(output: Tensor, target: Tensor, gradient: Tensor, total: Tensor) -> float:
    """Mean squared error over batch and outputs (paper, Section 5): writes the gradient, returns the gradient's factor.

    output, target: (S, n_out, B).
    gradient: (S, n_out, B), overwritten with the gradient by the outputs up to a constant factor.
    total: (S,), increased by the sum of the samples' losses.
    Returns the factor, which goes into the step length.
    """
    torch.sub(output, target, out=gradient)
    norm = torch.linalg.vector_norm(gradient, dim=(1, 2))  # the fastest of several ways
    total.addcmul_(norm, norm, value=1 / output.shape[1])
    return 2 / (output.shape[1] * output.shape[2])


def cross_entropy(output: Tensor, target: Tensor, gradient: Tensor, total: Tensor) -> float:
    """Cross-entropy, the mean over the batch of −log softmax(output)[label]: writes the gradient, returns the factor.

    target: labels, (S, B); output, gradient, total: see :func:`squared_error`.
    """
    total.add_(torch.nn.functional.cross_entropy(output, target, reduction="none").sum(1))
    torch.softmax(output, 1, out=gradient)
    gradient.scatter_add_(1, target[:, None], torch.full_like(output[:, :1], -1))
    return 1 / output.shape[2]


class Trainer:
    """SGD on S networks in place, with the buffers that a step needs.

    mask: the weights that take part. Other weights must be zero (see :func:`luckmatters.science.pruning.apply`) and
    stay zero.
    momentum, weight_decay: a step is ``v = momentum · v + gradient + weight_decay · W; W -= lr · v`` for every
    parameter, biases and BatchNorm included, as in torch.optim.SGD. If both are 0 there is no v.
    velocity: v at the start; None stands for zero.
    unit_fan_in: whether a step ends with :func:`luckmatters.science.layers.normalize_rows`, of the output layer too.
    precision: the type of activations and gradients of convolutions and of the BatchNorm behind them. Parameters and
    velocity keep their type.

    No operation mixes the seed axis: a seed with infinite or NaN parameters does not affect other seeds. On a graphics
    card steps are recorded and replayed. The loss then runs as Python only while a step is recorded. Parameters and
    loss_sum may change in place but must not be replaced.
    """

    def __init__(
        self,
        networks: Networks,
        loss: Loss = squared_error,
        mask: Mask | None = None,
        *,
        momentum: float = 0,
        weight_decay: float = 0,
        velocity: Networks | None = None,
        unit_fan_in: bool = False,
        precision: torch.dtype | None = None,
    ) -> None:
        self.networks = networks
        self.loss = loss
        self.mask = mask
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.velocity = (velocity or networks.zeros()) if momentum or weight_decay else None
        self.unit_fan_in = unit_fan_in
        self.precision = precision
        self._buffers: dict[tuple[str, int, int], Tensor] = {}
        # By shapes of samples and targets: learning rate and recording of a step (or None), and the recording's inputs.
        self._recorded: dict[tuple, tuple] = {}
        # On a CPU convolutions run faster network by network than as groups of channels: the activations of a network
        # stay in cache, and a group of a single input channel is slow (measured: 1.3 to 1.6 times).
        lowest = networks.weights[0]
        in_turn = lowest.dim() == 5 and lowest.device.type == "cpu" and networks.seeds > 1
        nothing = [None] * networks.seeds
        options = {"momentum": momentum, "weight_decay": weight_decay, "precision": precision}
        each = [part.each() if part else nothing for part in (networks, mask, self.velocity)] if in_turn else []
        self._in_turn = [
            Trainer(single, loss, kept, velocity=v, unit_fan_in=unit_fan_in, **options)
            for single, kept, v in zip(*each, strict=True)
        ]
        # Since the last call of mean_loss: the sum over samples of each network's loss, (S,), and the sample count.
        self.loss_sum, self.samples = lowest.new_zeros(networks.seeds), 0
        for seed, trainer in enumerate(self._in_turn):
            trainer.loss_sum = self.loss_sum[seed : seed + 1]

    @classmethod
    def from_state(
        cls, state: dict[str, Tensor], loss: Loss = squared_error, *, device: str, **options: object
    ) -> "Trainer":
        """A trainer from the tensors of :meth:`state`, with the options that the first trainer had."""
        velocity = {name.removeprefix(VELOCITY): v for name, v in state.items() if name.startswith(VELOCITY)}
        return cls(
            Networks.from_state(networks_of(state), device=device),
            loss,
            velocity=Networks.from_state(velocity, device=device) if velocity else None,
            **options,
        )

    def state(self) -> dict[str, Tensor]:
        """A copy of the networks' tensors by name, and of the velocity's tensors, if any, as ``velocity/*``."""
        velocity = self.velocity.state() if self.velocity else {}
        return {**self.networks.state(), **{VELOCITY + name: tensor for name, tensor in velocity.items()}}

    def step(self, x: Tensor, target: Tensor, lr: float) -> None:
        """Take a step on a batch.

        x: samples, (S, n_in, B); target: compared with the outputs by the loss, (S, n_out, B) or labels (S, B); lr: the
        learning rate. With fewer sets of samples than networks, S', set k serves S / S' networks in a row.
        """
        self.samples += x.shape[2]
        copies = self.networks.seeds // len(x)
        if copies > 1:
            target = target.repeat_interleave(copies, 0)
            if self.networks.weights[0].dim() == 5:
                x = x.repeat_interleave(copies, 0)
        for seed, trainer in enumerate(self._in_turn):
            trainer.step(x[seed : seed + 1], target[seed : seed + 1], lr)
        if not self._in_turn:
            (self._replay if x.is_cuda else self._step)(x, target, lr)

    def mean_loss(self) -> Tensor:
        """The mean loss on samples since the last call, (S,), float64; NaN without samples.

        The loss on a sample is taken before the step on that sample.
        """
        mean = self.loss_sum.double() / self.samples
        self.loss_sum.zero_()
        self.samples = 0
        return mean

    def _replay(self, x: Tensor, target: Tensor, lr: float) -> None:
        """Take a step as a recording on a graphics card, where short operations take longer to launch than to run.

        The first step of any shapes is not recorded, so that libraries get ready. The next step is recorded. A new
        recording is made when the learning rate changes.
        """
        shapes = x.shape, target.shape
        if shapes not in self._recorded:
            self._recorded[shapes] = None, None, (torch.empty_like(x), torch.empty_like(target))
            self._step(x, target, lr)
            return
        rate, graph, inputs = self._recorded[shapes]
        if rate != lr:
            graph = self._record(*inputs, lr)
            self._recorded[shapes] = lr, graph, inputs
        for place, given in zip(inputs, (x, target), strict=True):
            place.copy_(given)
        graph.replay()

    def _record(self, x: Tensor, target: Tensor, lr: float) -> torch.cuda.CUDAGraph:
        """A recording of a step on the tensors' contents at the time of replay.

        Recordings never run at the same time and share memory. Otherwise each new learning rate would take more memory.
        """
        graph, stream = torch.cuda.CUDAGraph(), recording_stream()
        others = [other for _, other, _ in self._recorded.values() if other]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            graph.capture_begin(*(other.pool() for other in others[:1]))
            try:
                self._step(x, target, lr)
            finally:
                graph.capture_end()
        torch.cuda.current_stream().wait_stream(stream)
        return graph

    def _step(self, x: Tensor, target: Tensor, lr: float) -> None:
        """Take a step, see :meth:`step`, with a set of samples for each network or a single set for all networks."""
        net, last = self.networks, len(self.networks.weights) - 1
        inputs, outputs, saved = [x], [], []  # what each layer reads and gives; what each BatchNorm remembers

        for i, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
            z = forward(weight, bias, inputs[i], self._buffer("output", i, x), self.precision)
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
        rate = self.loss(z, target, g, self.loss_sum) * (1 if self.velocity else -lr)
        to = self.velocity or net
        if self.velocity:
            for i in range(last + 1):
                for parameter, v in self._moving(i):
                    v.mul_(self.momentum).add_(parameter, alpha=self.weight_decay)
        for i in reversed(range(last + 1)):
            buffer = self._buffer("gradient", i - 1, x) if i else None
            below = backward(net.weights[i], inputs[i], g, rate, to.weights[i], to.biases[i], below=i > 0, out=buffer)
            if self.velocity:  # the velocity of this layer's BatchNorm is complete since the layer above
                for parameter, v in self._moving(i):
                    parameter.add_(v, alpha=-lr)
            if self.mask:
                net.weights[i].mul_(self.mask.layers[i])  # while the layer is in cache
            if self.unit_fan_in:
                normalize_rows(net.weights[i], net.biases[i])
            if i:
                g = below
                if net.place == "before":
                    g = gate(g, inputs[i])
                if net.norms:
                    g = self._normalize_backward(g, outputs[i - 1], i - 1, saved[i - 1], rate, to.norms[i - 1])
                if net.place == "after":
                    g = gate(g, outputs[i - 1])

    def _moving(self, layer: int) -> Iterator[tuple[Tensor, Tensor]]:
        """A layer's parameters and their velocities."""
        return zip(self.networks.parameters(layer), self.velocity.parameters(layer), strict=True)

    def _buffer(self, use: str, layer: int, x: Tensor) -> Tensor | None:
        """A tensor (S, n, B) for a linear layer's nodes, which every step uses again; None for a convolution.

        use: what the tensor holds; x: the samples of the step, whose last axis is B.
        """
        weight = self.networks.weights[layer]
        if weight.dim() > 3:
            return None
        key = (use, layer, x.shape[2])
        if key not in self._buffers:
            self._buffers[key] = x.new_empty(len(weight), weight.shape[1], x.shape[2])
        return self._buffers[key]

    def _normalize(self, x: Tensor, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Normalized activations of a layer, and the means and inverse standard deviations of the S · n channels."""
        norm = self.networks.norms[layer]
        out, mean, inverse_std = torch.native_batch_norm(
            by_channel(x), norm.weight.view(-1), norm.bias.view(-1), norm.running_mean.view(-1),
            norm.running_var.view(-1), True, BATCH_NORM_MOMENTUM, BATCH_NORM_EPS,
        )  # fmt: skip
        return out.view(x.shape), mean, inverse_std

    def _normalize_backward(
        self, g: Tensor, x: Tensor, layer: int, saved: list[Tensor], rate: float, to: BatchNorm
    ) -> Tensor:
        """The gradient by the input x of a BatchNorm; adds `rate` times the other gradients to `to`.

        g: the gradient by the BatchNorm's result; saved: means and inverse standard deviations of the forward pass;
        to: the BatchNorm whose weight and bias change.
        """
        norm = self.networks.norms[layer]
        g_in, g_weight, g_bias = torch.ops.aten.native_batch_norm_backward(
            by_channel(g), by_channel(x), norm.weight.view(-1), norm.running_mean.view(-1),
            norm.running_var.view(-1), *saved, True, BATCH_NORM_EPS, [True, True, True],
        )  # fmt: skip
        to.weight.view(-1).add_(g_weight, alpha=rate)
        to.bias.view(-1).add_(g_bias, alpha=rate)
        return g_in.view(x.shape)


@cache
def recording_stream() -> torch.cuda.Stream:
    """The single stream on which all steps are recorded, since libraries keep a workspace for every stream."""
    return torch.cuda.Stream()


def gate(g: Tensor, activation: Tensor) -> Tensor:
    """The gradient below a ReLU, in place: zero where the activation is zero."""
    return torch.ops.aten.threshold_backward.grad_input(g, activation, 0, grad_input=g)


def networks_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The networks' tensors in a trainer's state."""
    return {name: tensor for name, tensor in state.items() if not name.startswith(VELOCITY)}


def learning_rate(schedule: list[tuple[int, float]], epoch: int) -> float:
    """The learning rate of an epoch, counted from 0.

    schedule: pairs of first epoch and rate, in the order of epochs, the first epoch 0.
    """
    return next(rate for first, rate in reversed(schedule) if first <= epoch)


def cosine(epoch: int, epochs: int) -> float:
    """Cosine annealing: the factor of the learning rate, 1 at epoch 0 and 0 after the last of `epochs`."""
    return (1 + math.cos(math.pi * epoch / epochs)) / 2
