"""Fully connected ReLU networks, many seeds at once.

Shapes: S seeds, n nodes of a layer, N samples. Activations are (S, n, N): with the samples last, a layer is
``weight @ activation`` (torch's own (n_out, n_in) convention) and BatchNorm reduces over contiguous memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from luckmatters.science.random import generator

BATCH_NORM_EPS = 1e-5  # torch's defaults, which the authors' students use
BATCH_NORM_MOMENTUM = 0.1


@dataclass
class BatchNorm:
    """Affine BatchNorm over the samples of each node; every field has shape (S, n)."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def evaluate(self, x: Tensor) -> Tensor:
        """Normalize activations of shape (S, n, N) by the running statistics (evaluation mode)."""
        scale = self.weight / (self.running_var + BATCH_NORM_EPS).sqrt()
        return torch.addcmul((self.bias - self.running_mean * scale)[..., None], x, scale[..., None])


@dataclass
class FullyConnected:
    """S networks of one shape: hidden layers ``f = BatchNorm(relu(W x + b))`` (BatchNorm optional), linear output.

    weights: one (S, n_out, n_in) a layer, the output layer last; biases: one (S, n_out, 1) a layer;
    norms: one a hidden layer, or none at all (paper, Section 5: BatchNorm stands after the ReLU, none on the output).
    """

    weights: list[Tensor]
    biases: list[Tensor]
    norms: list[BatchNorm]

    @property
    def seeds(self) -> int:
        """S, the number of networks."""
        return self.weights[0].shape[0]

    @property
    def widths(self) -> list[int]:
        """Nodes of each layer, the output layer last."""
        return [weight.shape[1] for weight in self.weights]

    def activations(self, x: Tensor) -> list[Tensor]:
        """Every layer's activations (S, n, N) for inputs (S, n_in, N), in evaluation mode; the output last.

        A single network (S = 1) serves any number of input sets.
        """
        layers = []
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias.expand(len(x), -1, -1), weight.expand(len(x), -1, -1), x)
            if index < len(self.weights) - 1:
                x.relu_()
                if self.norms:
                    x = self.norms[index].evaluate(x)
            layers.append(x)
        return layers

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs (S, n_out, N) for inputs (S, n_in, N), in evaluation mode."""
        return self.activations(x)[-1]

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter and running statistic under a stable name."""
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            yield f"layer.{index}.weight", weight
            yield f"layer.{index}.bias", bias
        for index, norm in enumerate(self.norms):
            for name, tensor in vars(norm).items():
                yield f"norm.{index}.{name}", tensor

    def state(self) -> dict[str, Tensor]:
        """A copy of every tensor, on the CPU, by name."""
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.named_tensors()}

    @classmethod
    def from_state(cls, state: dict[str, Tensor], *, device: str = "cpu") -> "FullyConnected":
        """The inverse of :meth:`state`. Raises KeyError if a tensor is missing."""
        state = {name: tensor.to(device, copy=True).contiguous() for name, tensor in state.items()}
        depth = sum(name.startswith("layer.") for name in state) // 2
        normed = sum(name.startswith("norm.") for name in state) // 4
        return cls(
            [state[f"layer.{i}.weight"] for i in range(depth)],
            [state[f"layer.{i}.bias"] for i in range(depth)],
            [BatchNorm(*(state[f"norm.{i}.{name}"] for name in BatchNorm.__dataclass_fields__)) for i in range(normed)],
        )

    def select(self, seeds: Sequence[int]) -> "FullyConnected":
        """The networks at these positions of the seed axis, copied."""
        return self.from_state({name: tensor[list(seeds)] for name, tensor in self.named_tensors()})

    def finite(self) -> Tensor:
        """Which of the S networks have nothing but finite parameters; shape (S,), bool."""
        return torch.stack([t.isfinite().flatten(1).all(1) for _, t in self.named_tensors()]).all(0)


def initialize_students(
    inputs: int,
    widths: Sequence[int],
    *,
    seeds: Sequence[int],
    batch_norm: bool = False,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> FullyConnected:
    """Students with torch's default Linear initialization, uniform in ±1/sqrt(fan_in) (paper, Section 5).

    widths: nodes of each layer, the output layer last. Each seed draws from its own generator, so that a
    student is the same in any batch of seeds and on any device.
    """
    generators = [generator("student-init", seed) for seed in seeds]

    def uniform(*shape: int, bound: float) -> Tensor:
        draws = torch.stack([torch.from_numpy(g.random(shape, dtype=np.float32)) for g in generators])
        return (draws * 2 - 1).mul(bound).to(device, dtype)

    weights, biases = [], []
    for fan_in, width in zip([inputs, *widths], widths, strict=False):
        weights.append(uniform(width, fan_in, bound=fan_in**-0.5))
        biases.append(uniform(width, 1, bound=fan_in**-0.5))
    norms = []
    if batch_norm:
        for width in widths[:-1]:
            ones, zeros = (f(len(seeds), width, device=device, dtype=dtype) for f in (torch.ones, torch.zeros))
            norms.append(BatchNorm(ones, zeros, zeros.clone(), ones.clone()))
    return FullyConnected(weights, biases, norms)
