"""ReLU networks, fully connected or convolutional, many seeds at once.

Shapes: S seeds, n nodes (channels) of a layer, N samples. Samples are (S, n_in, N), an image's pixels in the order
channel, row, column. See :mod:`luckmatters.science.layers` for the shapes between layers.
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

BATCH_NORM_EPS = 1e-5  # torch's default, as in the authors' students; so is the momentum
BATCH_NORM_MOMENTUM = 0.1

Place = Literal["after", "before"]  # of a hidden layer's BatchNorm: after the ReLU, or before it
PREFIXES: dict[Place, str] = {"after": "norm", "before": "norm-before"}  # of the names of BatchNorm's tensors


@dataclass
class BatchNorm:
    """Affine BatchNorm over the samples and positions of each node; every field is (S, n)."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    @classmethod
    def identity(cls, seeds: int, width: int, device: str, dtype: torch.dtype) -> "BatchNorm":
        """BatchNorm as torch initializes it: weight 1, bias 0, running mean 0 and variance 1."""
        ones, zeros = (make(seeds, width, device=device, dtype=dtype) for make in (torch.ones, torch.zeros))
        return cls(ones, zeros, zeros.clone(), ones.clone())

    def evaluate(self, x: Tensor) -> Tensor:
        """The activations of a layer, normalized by the running statistics (evaluation mode).

        x: nodes or images; the result has the same shape.
        """
        fields = [field.flatten() for field in (self.running_mean, self.running_var, self.weight, self.bias)]
        return torch.nn.functional.batch_norm(by_channel(x), *fields, eps=BATCH_NORM_EPS).view(x.shape)


@dataclass
class Networks:
    """S networks of one shape: hidden layers ``f = BatchNorm(relu(W x + b))`` (BatchNorm optional), linear output.

    weights: of each layer, the output layer last, (S, n_out, n_in) or (S, n_out, n_in, k, k) for a convolution.
    biases: of each layer, (S, n_out, 1).
    norms: of each hidden layer, or empty. The output layer has no BatchNorm (paper, Section 5).
    place: ``after`` the ReLU, as in the paper; ``before``: ``f = relu(BatchNorm(W x + b))``, as in pretrained VGG
    networks.
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
        """The number of nodes of each layer, the output layer last."""
        return [weight.shape[1] for weight in self.weights]

    def layers(self, x: Tensor) -> Iterator[Tensor]:
        """The activations of each layer in evaluation mode, nodes or images, the output last.

        x: samples, (S or 1, n_in, N).
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
        """The activations of every layer in evaluation mode: hidden layers (S, n, P), then the output (S, n_out, N).

        P is N in a fully connected layer, N times the number of positions in a convolution. A single network serves any
        number of sample sets. A single sample set serves any number of networks.
        x: samples, (S, n_in, N).
        """
        sets = self._sets(x)
        return [self._split(values(layer, self.seeds), sets) for layer in self.layers(self._joined(x, sets))]

    def __call__(self, x: Tensor) -> Tensor:
        """The outputs in evaluation mode, (S, n_out, N); samples as in :meth:`activations`."""
        sets = self._sets(x)
        *_, output = self.layers(self._joined(x, sets))
        return self._split(output, sets)

    def _sets(self, x: Tensor) -> int:
        """The number of sample sets that a single network serves; 1 for several networks."""
        return len(x) if self.seeds == 1 else 1

    @staticmethod
    def _joined(x: Tensor, sets: int) -> Tensor:
        """Several sample sets as a single sample set, (sets, n_in, N) -> (1, n_in, sets · N)."""
        return x.transpose(0, 1).flatten(1)[None] if sets > 1 else x

    @staticmethod
    def _split(x: Tensor, sets: int) -> Tensor:
        """Nodes of a joined sample set by set, the inverse of joining: (1, n, sets · P) -> (sets, n, P)."""
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
        """The trained tensors of a layer and of the BatchNorm that belongs to the layer."""
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
        """Networks from another state, on the same device."""
        return self.from_state(state, device=self.weights[0].device)

    def select(self, seeds: Sequence[int]) -> "Networks":
        """The networks at these positions of the seed axis, copied."""
        return self._on_device({name: tensor[list(seeds)] for name, tensor in self.named_tensors()})

    @classmethod
    def interleaved(cls, parts: Sequence["Networks"]) -> "Networks":
        """Networks of all parts in turn, copied: the first network of each part, then the second of each part, ….

        parts: networks of the same shape and number.
        """
        tensors = [dict(part.named_tensors()) for part in parts]
        together = {name: torch.stack([part[name] for part in tensors], 1).flatten(0, 1) for name in tensors[0]}
        return parts[0]._on_device(together)

    def folded(self) -> "Networks":
        """Networks without BatchNorm that compute the same functions in evaluation mode.

        The scale and shift of BatchNorm go into the weights and biases of the layer above. Where BatchNorm stands
        before the ReLU they go into the layer's own weights and biases.
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
        """The L2 norm of the fan-out weights of each hidden node, (S, n) for each hidden layer."""
        return [
            above.reshape(*above.shape[:2], weight.shape[1], -1).norm(dim=(1, 3))
            for weight, above in zip(self.weights, self.weights[1:], strict=False)
        ]

    def zeros(self) -> "Networks":
        """Networks of the same shape with zeros in every tensor."""
        return self._on_device({name: torch.zeros_like(tensor) for name, tensor in self.named_tensors()})

    def to(self, dtype: torch.dtype) -> "Networks":
        """A copy of the networks with another type of numbers."""
        return self._on_device({name: tensor.to(dtype) for name, tensor in self.named_tensors()})

    def each(self) -> list["Networks"]:
        """The S networks singly, as views."""
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
        """Whether all tensors of each network are finite, (S,), bool."""
        return torch.stack([t.isfinite().flatten(1).all(1) for _, t in self.named_tensors()]).all(0)


def check_comparable(teachers: Networks, students: Networks) -> None:
    """Raises ValueError unless teachers and students have as many layers, and equal inputs and outputs."""
    sides = (teachers, students)
    facts = {
        "layers": [len(side.weights) for side in sides],
        "inputs": [tuple(side.weights[0].shape[2:]) for side in sides],
        "outputs": [side.widths[-1] for side in sides],
    }
    for name, (theirs, ours) in facts.items():
        if theirs != ours:
            raise ValueError(
                f"teachers and students need equal {name}, got {theirs} and {ours}; outputs end the widths"
            )


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

    inputs, widths, kernel: see :func:`luckmatters.science.shapes.weight_shapes`.
    seeds: each seed has a separate generator, so that a student is the same in any batch of seeds and on any device.
    purpose: of the generators.
    norm_scale: ``uniform`` draws the scales of BatchNorm from [0, 1), from separate generators; None: scales are 1.
    place: see :class:`Networks`.
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
            draws = [torch.from_numpy(g.random(norm.weight.shape[1], dtype=np.float32)) for g in streams]
            norm.weight.copy_(torch.stack(draws))
    return Networks(weights, biases, norms, place)
