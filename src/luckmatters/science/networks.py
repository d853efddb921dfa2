"""ReLU networks, fully connected or convolutional, many seeds at once.

Shapes: S seeds, n nodes (channels) of a layer, N samples; samples are (S, n_in, N), an image's pixels in the order
channel, row, column. See :mod:`luckmatters.science.layers` for what lies between.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from luckmatters.science.layers import by_channel, forward, values
from luckmatters.science.random import generator
from luckmatters.science.shapes import fan_in, weight_shapes

BATCH_NORM_EPS = 1e-5  # torch's defaults, which the authors' students use
BATCH_NORM_MOMENTUM = 0.1

Place = Literal["after", "before"]  # of a hidden layer's BatchNorm: after the ReLU, or before it
PREFIXES: dict[Place, str] = {"after": "norm", "before": "norm-before"}  # of its tensors' names


@dataclass
class BatchNorm:
    """Affine BatchNorm over the samples (and positions) of each node; every field has shape (S, n)."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    @classmethod
    def identity(cls, seeds: int, width: int, device: str, dtype: torch.dtype) -> "BatchNorm":
        """As torch starts it: weight 1, bias 0, running mean 0 and variance 1."""
        ones, zeros = (make(seeds, width, device=device, dtype=dtype) for make in (torch.ones, torch.zeros))
        return cls(ones, zeros, zeros.clone(), ones.clone())

    def evaluate(self, x: Tensor) -> Tensor:
        """Normalize the activations of a layer, nodes or images, by the running statistics (evaluation mode)."""
        fields = [field.flatten() for field in (self.running_mean, self.running_var, self.weight, self.bias)]
        return torch.nn.functional.batch_norm(by_channel(x), *fields, eps=BATCH_NORM_EPS).view(x.shape)


@dataclass
class Networks:
    """S networks of one shape: hidden layers ``f = BatchNorm(relu(W x + b))`` (BatchNorm optional), linear output.

    weights: one a layer, the output layer last, (S, n_out, n_in) or (S, n_out, n_in, k, k) for a convolution; biases:
    one (S, n_out, 1) a layer; norms: one a hidden layer, or none at all (paper, Section 5: BatchNorm stands after the
    ReLU, none on the output); place: with ``before``, ``f = relu(BatchNorm(W x + b))``, as in pretrained VGG networks.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    norms: list[BatchNorm]
    place: Place = "after"

    @property
    def seeds(self) -> int:
        """S, the number of networks."""
        return self.weights[0].shape[0]

    @property
    def widths(self) -> list[int]:
        """Nodes of each layer, the output layer last."""
        return [weight.shape[1] for weight in self.weights]

    def layers(self, x: Tensor) -> Iterator[Tensor]:
        """Each layer's activations in evaluation mode, the output last, in its own shape (nodes or images).

        x: samples (S or 1, n_in, N).
        """
        x = x.expand(self.seeds, -1, -1)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = forward(weight, bias, x)
            if index < len(self.weights) - 1:
                if self.place == "after":
                    x.relu_()
                if self.norms:
                    x = self.norms[index].evaluate(x)
                if self.place == "before":
                    x.relu_()
            yield x

    def activations(self, x: Tensor) -> list[Tensor]:
        """Every layer's activations for samples (S, n_in, N), in evaluation mode; the output, (S, n_out, N), last.

        Hidden layers are (S, n, P): P = N values of each node, or those at all positions of all samples. A single
        network serves any number of sample sets, a single set any number of networks.
        """
        sets = self._sets(x)
        return [self._split(values(layer, self.seeds), sets) for layer in self.layers(self._joined(x, sets))]

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs (S, n_out, N) for samples (S, n_in, N), in evaluation mode; as above."""
        sets = self._sets(x)
        *_, output = self.layers(self._joined(x, sets))
        return self._split(output, sets)

    def _sets(self, x: Tensor) -> int:
        """How many sample sets a single network serves."""
        return len(x) if self.seeds == 1 else 1

    @staticmethod
    def _joined(x: Tensor, sets: int) -> Tensor:
        """Several sample sets (sets, n_in, N) as a single one, (1, n_in, sets · N)."""
        return x.transpose(0, 1).flatten(1)[None] if sets > 1 else x

    @staticmethod
    def _split(x: Tensor, sets: int) -> Tensor:
        """The inverse for nodes, (1, n, sets · P) -> (sets, n, P)."""
        return x[0].unflatten(1, (sets, -1)).transpose(0, 1) if sets > 1 else x

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter and running statistic under a stable name."""
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            yield f"layer.{index}.weight", weight
            yield f"layer.{index}.bias", bias
        for index, norm in enumerate(self.norms):
            for name, tensor in vars(norm).items():
                yield f"{PREFIXES[self.place]}.{index}.{name}", tensor

    def parameters(self, layer: int) -> Iterator[Tensor]:
        """What training moves of a layer and of the BatchNorm behind it."""
        yield from (self.weights[layer], self.biases[layer])
        if layer < len(self.norms):
            yield from (self.norms[layer].weight, self.norms[layer].bias)

    def state(self) -> dict[str, Tensor]:
        """A copy of every tensor, on the CPU, by name."""
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.named_tensors()}

    @classmethod
    def from_state(cls, state: dict[str, Tensor], *, device: str = "cpu") -> "Networks":
        """The inverse of :meth:`state`. Raises KeyError if a tensor is missing."""
        state = {name: tensor.to(device, copy=True).contiguous() for name, tensor in state.items()}
        depth = sum(name.startswith("layer.") for name in state) // 2
        place: Place = "before" if f"{PREFIXES['before']}.0.weight" in state else "after"
        prefix, fields = PREFIXES[place], BatchNorm.__dataclass_fields__
        normed = sum(name.startswith(f"{prefix}.") for name in state) // len(fields)
        return cls(
            [state[f"layer.{i}.weight"] for i in range(depth)],
            [state[f"layer.{i}.bias"] for i in range(depth)],
            [BatchNorm(*(state[f"{prefix}.{i}.{name}"] for name in fields)) for i in range(normed)],
            place,
        )

    def _on_device(self, state: dict[str, Tensor]) -> "Networks":
        """Networks of a changed state, on the device of these."""
        return self.from_state(state, device=self.weights[0].device)

    def select(self, seeds: Sequence[int]) -> "Networks":
        """The networks at these positions of the seed axis, copied."""
        return self._on_device({name: tensor[list(seeds)] for name, tensor in self.named_tensors()})

    @classmethod
    def interleaved(cls, parts: Sequence["Networks"]) -> "Networks":
        """As many networks of one shape from each part, copied: all parts' first ones, then their second ones, …."""
        tensors = [dict(part.named_tensors()) for part in parts]
        together = {name: torch.stack([one[name] for one in tensors], 1).flatten(0, 1) for name in tensors[0]}
        return parts[0]._on_device(together)

    def folded(self) -> "Networks":
        """The same functions without BatchNorm: each norm's scale and shift, as evaluated, become weights and biases.

        Those of the layer above, or of its own where BatchNorm stands before the ReLU.
        """
        weights, biases = list(self.weights), list(self.biases)
        for index, norm in enumerate(self.norms):
            scale = norm.weight * (norm.running_var + BATCH_NORM_EPS).rsqrt()  # (S, n)
            shift = norm.bias - norm.running_mean * scale
            if self.place == "before":
                weights[index] = weights[index] * scale.view(*scale.shape, *[1] * (weights[index].dim() - 2))
                biases[index] = biases[index] * scale[..., None] + shift[..., None]
                continue
            above = weights[index + 1]
            by_node = above.reshape(*above.shape[:2], scale.shape[1], -1)  # (S, n_out, n, what reads each node)
            weights[index + 1] = (by_node * scale[:, None, :, None]).view(above.shape)
            biases[index + 1] = biases[index + 1] + (by_node.sum(3) @ shift[..., None])
        return Networks(weights, biases, [])

    def fan_out_norms(self) -> list[Tensor]:
        """The L2 norm of all weights that read each hidden node, (S, n) a layer."""
        return [
            above.reshape(*above.shape[:2], weight.shape[1], -1).norm(dim=(1, 3))
            for weight, above in zip(self.weights, self.weights[1:], strict=False)
        ]

    def zeros(self) -> "Networks":
        """Networks of the same shape whose every tensor is zero."""
        return self._on_device({name: torch.zeros_like(tensor) for name, tensor in self.named_tensors()})

    def to(self, dtype: torch.dtype) -> "Networks":
        """A copy with another type of numbers."""
        return self._on_device({name: tensor.to(dtype) for name, tensor in self.named_tensors()})

    def each(self) -> list["Networks"]:
        """The S networks one by one, sharing memory with these."""
        return [
            Networks(
                [weight[seed : seed + 1] for weight in self.weights],
                [bias[seed : seed + 1] for bias in self.biases],
                [BatchNorm(*(field[seed : seed + 1] for field in vars(norm).values())) for norm in self.norms],
                self.place,
            )
            for seed in range(self.seeds)
        ]

    def finite(self) -> Tensor:
        """Which of the S networks have nothing but finite parameters; shape (S,), bool."""
        return torch.stack([t.isfinite().flatten(1).all(1) for _, t in self.named_tensors()]).all(0)


def initialize_students(
    inputs: Sequence[int],
    widths: Sequence[int],
    *,
    seeds: Sequence[int],
    purpose: str = "student-init",
    kernel: int | None = None,
    batch_norm: bool = False,
    norm_scale: Literal["uniform"] | None = None,
    place: Place = "after",
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Networks:
    """Students with torch's default initialization, uniform in ±1/sqrt(fan_in) (paper, Section 5).

    inputs, widths, kernel: see :func:`luckmatters.science.shapes.weight_shapes`; purpose: of the generators;
    norm_scale: BatchNorm's scales are drawn uniformly from [0, 1), from generators of their own, or else are 1; place:
    see :class:`Networks`. Each seed draws from its own generator, so that a student is the same in any batch of seeds
    and on any device.
    """
    generators = [generator(purpose, seed) for seed in seeds]

    def uniform(*shape: int, bound: float) -> Tensor:
        draws = torch.stack([torch.from_numpy(g.random(shape, dtype=np.float32)) for g in generators])
        return (draws * 2 - 1).mul(bound).to(device, dtype)

    weights, biases = [], []
    for shape in weight_shapes(inputs, widths, kernel):
        weights.append(uniform(*shape, bound=fan_in(shape) ** -0.5))
        biases.append(uniform(shape[0], 1, bound=fan_in(shape) ** -0.5))
    norms = [BatchNorm.identity(len(seeds), width, device, dtype) for width in widths[:-1]] if batch_norm else []
    if norm_scale:
        streams = [generator(f"{purpose}-norm-scale", seed) for seed in seeds]
        for norm in norms:
            draws = [torch.from_numpy(one.random(norm.weight.shape[1], dtype=np.float32)) for one in streams]
            norm.weight.copy_(torch.stack(draws))
    return Networks(weights, biases, norms, place)
