"""Student-teacher dynamics in matrix form: products of averages, top-down (paper, Lemma 1 and Theorem 5).

Shapes are the paper's. Samples come first. The weights of a layer are (n_in + 1, n_out), with the bias as the last row.
The inputs X of a layer are (N, n_in + 1), with the constant 1 as the last column. R = S · C networks of one shape are a
batch: S seeds with separate teachers and samples, times C starts. The C students of a seed share teacher and samples.

As in the authors' script, H and H* lose the constant node when they go down a layer. The matrix form therefore does not
hand down differences between biases of the layers above. The accurate gradient does.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from luckmatters.science.teachers import separated_rows

LARGEST_EXACT = 256  # whole numbers up to here are exact in bfloat16


def normalize_columns(weight: Tensor) -> Tensor:
    """Scale each node's fan-in, bias included, to length 1, in place.

    weight: (…, n_in + 1, n_out).
    """
    # Several times as fast as a norm over a dimension that is not the last one.
    return weight.mul_(weight.square().sum(-2, keepdim=True).rsqrt_())


def draw_teacher(widths: Sequence[int], bias: float, *, generator: np.random.Generator) -> list[Tensor]:
    """The layers of a random teacher, each (n_in + 1, n_out), columns normalized.

    Weights lie on a grid: no node is zero, no two nodes are alike. The bias row is −bias before normalization.
    widths: nodes of all layers, inputs and outputs included. Raises ValueError if the grid has too few nodes.
    """
    layers = []
    for n_in, n_out in itertools.pairwise(widths):
        rows = separated_rows(n_out, n_in, generator=generator)
        layers.append(normalize_columns(torch.cat([rows.T, torch.full((1, n_out), -bias)])))
    return layers


def draw_students(
    teacher: Sequence[Tensor], multiplier: int, starts: Sequence[Sequence[float]], *, generator: np.random.Generator
) -> list[Tensor]:
    """Random students with `multiplier` times the teacher's nodes, a student for each start.

    Returns the weights of each layer, (C, n_in + 1, n_out). All students have the same normalized Gaussian columns.
    Start c adds starts[c][l] times the teacher's columns to the columns of the first nodes of layer l: teacher rows to
    the first rows, teacher bias to the bias. Then columns are normalized again.
    teacher: the layers of :func:`draw_teacher`; starts: C starts with a number for each layer.
    Raises ValueError if a start has more or fewer numbers than there are layers.
    """
    if any(len(start) != len(teacher) for start in starts):
        raise ValueError(f"each start needs {len(teacher)} numbers, one a layer, got {list(map(list, starts))}")
    layers = []
    for layer, theirs in enumerate(teacher):
        n_in, n_out = theirs.shape[0] - 1, theirs.shape[1]
        inputs = n_in * (multiplier if layer > 0 else 1)
        nodes = n_out * (multiplier if layer < len(teacher) - 1 else 1)
        drawn = normalize_columns(torch.from_numpy(generator.standard_normal((inputs + 1, nodes), dtype=np.float32)))
        aligned = torch.zeros_like(drawn)
        aligned[:n_in, :n_out], aligned[-1, :n_out] = theirs[:-1], theirs[-1]
        shares = torch.tensor([start[layer] for start in starts])
        layers.append(normalize_columns(drawn + shares[:, None, None] * aligned))
    return layers


def with_constant(x: Tensor, value: float = 1.0) -> Tensor:
    """Values with the constant node as an additional last column, (…, N, n + 1).

    x: (…, N, n); value: of the constant node.
    """
    result = x.new_full((*x.shape[:-1], x.shape[-1] + 1), value)
    result[..., :-1] = x
    return result


@dataclass(frozen=True)
class Passed:
    """The forward pass of samples through a network, layer by layer.

    inputs: X of each layer, (…, N, n_in + 1).
    sums: X W of each layer, (…, N, n_out).
    gates: whether X W > 0 in each hidden layer, (…, N, n_out), 0 or 1.
    """

    inputs: list[Tensor]
    sums: list[Tensor]
    gates: list[Tensor]

    def at(self, step: int) -> "Passed":
        """The forward pass of one step, where the first axis of all tensors counts steps."""
        return Passed(*([layer[step] for layer in part] for part in (self.inputs, self.sums, self.gates)))


def forward(weights: Sequence[Tensor], x: Tensor, gate_type: torch.dtype) -> Passed:
    """Pass samples through a network with ReLU in all layers but the last.

    weights: of each layer, (…, n_in + 1, n_out); x: samples, (…, N, n_in + 1); gate_type: the type of gates.
    """
    inputs, sums = [x], []
    for layer, weight in enumerate(weights):
        sums.append(inputs[-1] @ weight)
        if layer < len(weights) - 1:
            inputs.append(with_constant(sums[-1].clamp(min=0)))
    return Passed(inputs, sums, [(z > 0).to(gate_type) for z in sums[:-1]])


@cache
def counting_type(device: str, batch: int) -> torch.dtype:
    """The fastest type of numbers in which sums of gate products, whole numbers up to `batch`, are exact."""
    fast = device == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if fast and batch <= LARGEST_EXACT else torch.float32


class Dynamics:
    """R = S · C students that follow their teachers. Steps change them in place and normalize columns.

    weights: of the students' layers, each (S, C, n_in + 1, n_out).
    teacher: of the teachers' layers, each (S, n_in° + 1, n_out°).
    frozen: the layers that steps leave unchanged.
    accurate: whether steps follow the mean of the samples' gradients instead of the matrix form.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        teacher: Sequence[Tensor],
        *,
        frozen: Sequence[int] = (),
        accurate: bool = False,
    ) -> None:
        self.seeds, self.starts = weights[0].shape[:2]
        self.weights = [weight.flatten(0, 1).clone() for weight in weights]
        self.teacher, self.frozen, self.accurate = list(teacher), frozenset(frozen), accurate
        self._rooms: dict[tuple, Tensor] = {}

    @property
    def layers(self) -> list[Tensor]:
        """The students' weights of each layer, (S, C, n_in + 1, n_out): views, which steps change."""
        return [weight.unflatten(0, (self.seeds, self.starts)) for weight in self.weights]

    def state(self) -> dict[str, Tensor]:
        """A copy of the students' weights on the CPU, by name."""
        return {f"layer.{i}": weight.to("cpu", copy=True) for i, weight in enumerate(self.layers)}

    def run(self, x: Tensor, rate: float) -> None:
        """Take a step on each of T batches.

        x: samples with the constant, (T, S, N, n_in + 1); rate: the learning rate.
        """
        kind = counting_type(x.device.type, x.shape[2])
        teacher = forward(self.teacher, x, kind)
        # N · L and N · L* W* of the lowest layer, which all starts of a seed share.
        moments = x.mT @ x, x.mT @ teacher.sums[0]
        for step in range(len(x)):
            theirs = teacher.at(step)
            ours = self._forward(self._each(theirs.inputs[0]), kind)
            if self.accurate:
                self._accurate_step(ours, theirs, rate / x.shape[2])
            else:
                self._matrix_step(ours, theirs, *(self._each(moment[step]) for moment in moments), rate / x.shape[2])

    def _forward(self, x: Tensor, kind: torch.dtype) -> Passed:
        """The students' forward pass, as :func:`forward` gives it, in memory that every step uses again.

        x: samples with the constant, (R, N, n_in + 1).
        """
        passed = Passed([x], [], [])
        for layer, weight in enumerate(self.weights):
            shape = (*x.shape[:2], weight.shape[2])
            passed.sums.append(torch.bmm(passed.inputs[-1], weight, out=self._room("sums", layer, shape, x.dtype)))
            if layer < len(self.weights) - 1:
                wide = self._room("inputs", layer, (*shape[:2], shape[2] + 1), x.dtype)
                torch.clamp(passed.sums[-1], min=0, out=wide[..., :-1])
                wide[..., -1] = 1
                passed.inputs.append(wide)
                passed.gates.append(torch.gt(passed.sums[-1], 0, out=self._room("gates", layer, shape, kind)))
        return passed

    def _accurate_step(self, ours: Passed, theirs: Passed, rate: float) -> None:
        """Descend the gradient of half the squared distance to the teacher's output.

        rate: learning rate / N.
        """
        error = self._error(ours, theirs)
        for layer in reversed(range(len(self.weights))):
            below = torch.bmm(error, self._fan_out(layer).mT).mul_(ours.gates[layer - 1]) if layer else None
            self._change(layer, ours.inputs[layer].mT, error, -rate)
            error = below

    def _matrix_step(self, ours: Passed, theirs: Passed, second: Tensor, labels: Tensor, rate: float) -> None:
        """Add rate times L* W* H*ᵀ − L W Hᵀ to the weights W, from the top layer down.

        second, labels: N · L and N · L* W* of the lowest layer; rate: learning rate / N. H and H* come from counts of
        open gates instead of averages, since counts are exact in a short type. With k hidden layers above they are Nᵏ
        times the paper's.
        """
        top, batch = len(self.weights) - 1, ours.inputs[0].shape[1]
        down = self._top_down(top, ours, theirs, None, None) if top else None
        self._change(top, ours.inputs[top].mT, self._error(ours, theirs), -rate)
        for layer in reversed(range(top)):
            h, h_star = down
            down = self._top_down(layer, ours, theirs, h, h_star) if layer else None
            rate /= batch
            if layer:
                signal = torch.bmm(ours.sums[layer], h)
                signal.baddbmm_(self._each(theirs.sums[layer]), h_star, beta=-1)
                self._change(layer, ours.inputs[layer].mT, signal, rate)
            else:
                own = torch.bmm(second, self.weights[0])
                self._change(0, own, h, -rate, normalized=False)
                self._change(0, labels, h_star, rate)

    def _top_down(self, layer: int, ours: Passed, theirs: Passed, h: Tensor | None, h_star: Tensor | None) -> tuple:
        """H (R, n, n) and H*ᵀ (R, n°, n) of the nodes below a layer.

        h, h_star: H and H*ᵀ of the nodes above the layer; None stands for the identity.
        """
        own, gates = self._fan_out(layer), ours.gates[layer - 1]
        target, target_gates = self._each(self.teacher[layer][:, :-1]), self._each(theirs.gates[layer - 1])
        return (
            self._gated("h", layer, own if h is None else torch.bmm(own, h), own, gates, gates),
            self._gated("h*", layer, target if h is None else torch.bmm(target, h_star), own, target_gates, gates),
        )

    def _gated(self, name: str, layer: int, left: Tensor, right: Tensor, gates: Tensor, others: Tensor) -> Tensor:
        """β = left rightᵀ times the number of samples on which both nodes' gates are open, (R, n_left, n_right).

        left: (R, n_left, k); right: (R, n_right, k); gates: of the left nodes, (R, N, n_left); others: of the right
        nodes, (R, N, n_right).
        """
        shape = (len(left), left.shape[1], right.shape[1])
        beta = torch.bmm(left, right.mT, out=self._room(name, layer, shape, left.dtype))
        counts = torch.bmm(gates.mT, others, out=self._room(f"{name} counts", layer, shape, gates.dtype))
        # A product of two types would convert the counts in new memory at every step.
        return beta.mul_(self._room(f"{name} as numbers", layer, shape, left.dtype).copy_(counts))

    def _fan_out(self, layer: int) -> Tensor:
        """The fan-out weights of the nodes below a layer, (R, n_in, n_out); the constant node's are left out."""
        return self.weights[layer][:, :-1]

    def _error(self, ours: Passed, theirs: Passed) -> Tensor:
        """The students' outputs minus the teachers', (R, N, n)."""
        return ours.sums[-1].unflatten(0, (self.seeds, self.starts)).sub(theirs.sums[-1][:, None]).flatten(0, 1)

    def _change(self, layer: int, left: Tensor, right: Tensor, rate: float, *, normalized: bool = True) -> None:
        """Add rate · left right to a layer's weights unless the layer is frozen, then normalize columns.

        left: (R, n_in + 1, k); right: (R, k, n_out).
        """
        if layer not in self.frozen:
            self.weights[layer].baddbmm_(left, right, alpha=rate)
            if normalized:
                normalize_columns(self.weights[layer])

    def _each(self, x: Tensor) -> Tensor:
        """Tensors of seeds repeated for all starts of a seed, (S, …) -> (R, …)."""
        return x if self.starts == 1 else x[:, None].expand(-1, self.starts, *x.shape[1:]).flatten(0, 1)

    def _room(self, name: str, layer: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor that every step uses again; new large matrices would be given back and cleared at every step."""
        key = (name, layer, shape, dtype)
        if key not in self._rooms:
            self._rooms[key] = torch.empty(shape, dtype=dtype, device=self.weights[0].device)
        return self._rooms[key]
