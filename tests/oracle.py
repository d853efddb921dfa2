"""Oracle for the batched code: single networks as torch modules, with autograd and torch.optim.SGD, in float64."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from luckmatters.science.networks import Networks
from luckmatters.science.overlap import Overlap


def random_scores(like: Sequence[Tensor], seeds: Sequence[int]) -> list[Tensor]:
    """Random scores for masks, uniform in [0, 1), with a generator for each seed.

    like: tensors (S, …), whose shapes the scores have.
    """
    streams = [torch.Generator().manual_seed(seed) for seed in seeds]
    return [torch.stack([torch.rand(layer.shape[1:], generator=stream) for stream in streams]) for layer in like]


class Module(nn.Module):
    """One of S networks as ordinary modules: Linear or Conv2d, ReLU, and BatchNorm after or before the ReLU."""

    def __init__(self, networks: Networks, seed: int) -> None:
        super().__init__()
        self.linears, self.norms, self.place = nn.ModuleList(), nn.ModuleList(), networks.place
        with torch.no_grad():
            for weight, bias in zip(networks.weights, networks.biases, strict=True):
                kind = nn.Linear if weight.dim() == 3 else partial(nn.Conv2d, kernel_size=weight.shape[3])
                linear = kind(weight.shape[2], weight.shape[1], dtype=weight.dtype)
                linear.weight.copy_(weight[seed])
                linear.bias.copy_(bias[seed, :, 0])
                self.linears.append(linear)
            for norm, weight in zip(networks.norms, networks.weights, strict=False):
                module = (nn.BatchNorm1d if weight.dim() == 3 else nn.BatchNorm2d)(
                    norm.weight.shape[1], dtype=norm.weight.dtype
                )
                for name, tensor in vars(norm).items():
                    getattr(module, name).copy_(tensor[seed])
                self.norms.append(module)

    def forward(self, x: Tensor) -> Tensor:
        """Output (N, n_out) of the network for samples (N, n_in), samples first."""
        return self.activations(x)[-1]

    def activations(self, x: Tensor) -> list[Tensor]:
        """Activations (N, n) of every layer; (N, n, H, W) of a convolution."""
        layers = []
        for index, linear in enumerate(self.linears):
            if isinstance(linear, nn.Conv2d) and x.dim() == 2:
                side = math.isqrt(x.shape[1] // linear.in_channels)
                x = x.view(len(x), linear.in_channels, side, side)
            x = linear(x if isinstance(linear, nn.Conv2d) else x.flatten(1))
            if index < len(self.linears) - 1:
                norm = self.norms[index] if self.norms else nn.Identity()
                x = norm(x).relu() if self.place == "before" else norm(x.relu())
            layers.append(x)
        return layers


def sgd(
    module: Module,
    batches: list[tuple[Tensor, Tensor]],
    lr: float | list[float],
    loss=nn.functional.mse_loss,
    **options: float,
) -> Module:
    """Module trained by torch.optim.SGD, in evaluation mode.

    batches: pairs of samples (n, B), samples last, and of outputs (n, B) or labels (B,);
    lr: the learning rate of all batches, or a list with the rate of each.
    """
    rates = lr if isinstance(lr, list) else [lr] * len(batches)
    optimizer = torch.optim.SGD(module.parameters(), **options)
    module.train()
    for (x, y), optimizer.param_groups[0]["lr"] in zip(batches, rates, strict=True):
        optimizer.zero_grad()
        loss(module(x.T), y.T if y.dim() == 2 else y).backward()
        optimizer.step()
    return module.eval()


def assert_same(module: Module, networks: Networks, seed: int, **tolerance: float) -> None:
    """Assert that every parameter and running statistic of the module equals the network of the seed."""
    for index, linear in enumerate(module.linears):
        torch.testing.assert_close(networks.weights[index][seed], linear.weight.detach(), **tolerance)
        torch.testing.assert_close(networks.biases[index][seed, :, 0], linear.bias.detach(), **tolerance)
    for norm, module_norm in zip(networks.norms, module.norms, strict=True):
        for name, tensor in vars(norm).items():
            torch.testing.assert_close(tensor[seed], getattr(module_norm, name).detach(), **tolerance)


def overlap(teacher: Tensor, student: Tensor) -> Overlap:
    """Overlap of teacher and student activations, gathered in a single part."""
    gathered = Overlap()
    gathered.add(teacher, student)
    return gathered


def correlation(teacher: Tensor, student: Tensor) -> Tensor:
    """Correlation ρ of teacher and student activations."""
    return overlap(teacher, student).correlation()
