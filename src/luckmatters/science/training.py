"""SGD, fused with the backward pass.

Each layer's weight gradient and update are one matrix product, ``W -= lr · g hᵀ``, so no gradient is ever stored; all
seeds of the batch take the step together. Students learn by plain SGD; with momentum, which teachers may have, the
product goes into the velocity instead.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache

import torch
from torch import Tensor

from luckmatters.science.layers import backward, by_channel, forward
from luckmatters.science.networks import BATCH_NORM_EPS, BATCH_NORM_MOMENTUM, BatchNorm, Networks
from luckmatters.science.pruning import Mask

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], float]
VELOCITY = "velocity/"  # before the names of its tensors in a trainer's state


def squared_error(output: Tensor, target: Tensor, gradient: Tensor, total: Tensor) -> float:
    """The mean over batch and outputs of (output − target)², all (S, n_out, B) (paper, Section 5).

    Writes the gradient by the outputs, up to a constant factor, which it returns: it goes into the step length. Adds
    the sum of the samples' losses to the total, (S,).
    """
    torch.sub(output, target, out=gradient)
    norm = torch.linalg.vector_norm(gradient, dim=(1, 2))  # the fastest of several ways
    total.addcmul_(norm, norm, value=1 / output.shape[1])
    return 2 / (output.shape[1] * output.shape[2])


def cross_entropy(output: Tensor, target: Tensor, gradient: Tensor, total: Tensor) -> float:
    """The mean over the batch of −log softmax(output)[label]; output (S, n_out, B), labels (S, B); as above."""
    total.add_(torch.nn.functional.cross_entropy(output, target, reduction="none").sum(1))
    torch.softmax(output, 1, out=gradient)
    gradient.scatter_add_(1, target[:, None], torch.full_like(output[:, :1], -1))
    return 1 / output.shape[2]


class Trainer:
    """Takes SGD steps on S networks in place; owns the buffers that a step needs.

    mask: which weights take part; the others, which must be zero (see :func:`luckmatters.science.pruning.apply`), stay
    so. momentum, weight_decay: each step ``v = momentum · v + gradient + weight_decay · W; W -= lr · v`` for every
    parameter (biases and BatchNorm's too), as torch.optim.SGD has it; velocity: v at the start, zero if None. Without
    both there is no v. precision: of what convolutions and the BatchNorm behind them read and give, and so of a
    convolution's gradients; parameters and velocity keep their own. A seed whose parameters become infinite or NaN
    never reaches the others: no operation mixes the seed axis. On a graphics card steps are recorded and replayed:
    the loss runs as Python only when recording, and parameters (and loss_sum) may change in place but not be replaced.
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
        precision: torch.dtype | None = None,
    ) -> None:
        self.networks = networks
        self.loss = loss
        self.mask = mask
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.velocity = (velocity or networks.zeros()) if momentum or weight_decay else None
        self.precision = precision
        self._buffers: dict[tuple[str, int, int], Tensor] = {}
        # By shapes of samples and targets: learning rate and recording of a step (or None), and what it reads.
        self._recorded: dict[tuple, tuple] = {}
        # On a CPU convolutions run faster one network after another than as groups of channels: one network's
        # activations stay in cache, and a group of a single input channel is slow (measured: 1.3 to 1.6 times).
        lowest = networks.weights[0]
        in_turn = lowest.dim() == 5 and lowest.device.type == "cpu" and networks.seeds > 1
        nothing = [None] * networks.seeds
        each = [part.each() if part else nothing for part in (networks, mask, self.velocity)] if in_turn else []
        self._in_turn = [
            Trainer(one, loss, its, momentum=momentum, weight_decay=weight_decay, velocity=v, precision=precision)
            for one, its, v in zip(*each, strict=True)
        ]
        # Since mean_loss was last asked for: the sum over samples of each network's loss, (S,), and their number.
        self.loss_sum, self.samples = lowest.new_zeros(networks.seeds), 0
        for seed, trainer in enumerate(self._in_turn):
            trainer.loss_sum = self.loss_sum[seed : seed + 1]

    @classmethod
    def from_state(
        cls, state: dict[str, Tensor], loss: Loss = squared_error, *, device: str, **options: object
    ) -> "Trainer":
        """The inverse of :meth:`state`, with the options that the trainer had."""
        velocity = {name.removeprefix(VELOCITY): v for name, v in state.items() if name.startswith(VELOCITY)}
        return cls(
            Networks.from_state(networks_of(state), device=device),
            loss,
            velocity=Networks.from_state(velocity, device=device) if velocity else None,
            **options,
        )

    def state(self) -> dict[str, Tensor]:
        """A copy of the networks' tensors, by name, and of the velocity's as ``velocity/*``, if there is one."""
        velocity = self.velocity.state() if self.velocity else {}
        return {**self.networks.state(), **{VELOCITY + name: tensor for name, tensor in velocity.items()}}

    def step(self, x: Tensor, target: Tensor, lr: float) -> None:
        """One step on samples (S, n_in, B) and what the loss compares the outputs (S, n_out, B) with.

        There may be fewer sets of samples than networks: set k then serves S / S' networks in a row.
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
        """The mean loss on samples since the last call, each before the step on it, (S,), float64; NaN without any."""
        mean = self.loss_sum.double() / self.samples
        self.loss_sum.zero_()
        self.samples = 0
        return mean

    def _replay(self, x: Tensor, target: Tensor, lr: float) -> None:
        """The same as a recording, on a graphics card, where launching short operations takes longer than they do.

        The first step of any shapes is taken as it is, for libraries to get ready; a recording is made at the next one
        and again whenever the learning rate has changed.
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
        """A step on whatever these tensors will hold.

        Recordings are never played at once and so share their memory, else each new learning rate would take more.
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
        """See :meth:`step`; one set of samples for each of the networks, or for all of them."""
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
            if self.velocity:  # that of the BatchNorm behind this layer is complete since the layer above
                for parameter, v in self._moving(i):
                    parameter.add_(v, alpha=-lr)
            if self.mask:
                net.weights[i].mul_(self.mask.layers[i])  # while the layer is in cache
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

    def _normalize_backward(
        self, g: Tensor, x: Tensor, layer: int, saved: list[Tensor], rate: float, to: BatchNorm
    ) -> Tensor:
        """The gradient below a BatchNorm whose input was x; adds `rate` times those by weight and bias to `to`'s."""
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
    """The one stream on which steps are recorded: libraries keep a workspace for each."""
    return torch.cuda.Stream()


def gate(g: Tensor, activation: Tensor) -> Tensor:
    """The gradient below a ReLU, in place: zero wherever its activation is."""
    return torch.ops.aten.threshold_backward.grad_input(g, activation, 0, grad_input=g)


def networks_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The networks' tensors in a trainer's state."""
    return {name: tensor for name, tensor in state.items() if not name.startswith(VELOCITY)}


def learning_rate(schedule: list[tuple[int, float]], epoch: int) -> float:
    """The rate of an epoch (counted from 0) under a schedule of (first epoch, rate), ordered and starting at 0."""
    return next(rate for first, rate in reversed(schedule) if first <= epoch)


def cosine(epoch: int, epochs: int) -> float:
    """The share of its rate that an epoch (counted from 0) keeps, falling from 1 to 0 after the last of `epochs`."""
    return (1 + math.cos(math.pi * epoch / epochs)) / 2
