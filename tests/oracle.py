"""The slow and obvious way: one network at a time, torch modules, autograd, torch.optim.SGD, float64."""

import torch
from torch import Tensor, nn

from luckmatters.science.networks import FullyConnected


class Module(nn.Module):
    """One seed of a FullyConnected, as ordinary modules: linear, ReLU, BatchNorm after it."""

    def __init__(self, networks: FullyConnected, seed: int) -> None:
        super().__init__()
        self.linears, self.norms = nn.ModuleList(), nn.ModuleList()
        with torch.no_grad():
            for weight, bias in zip(networks.weights, networks.biases, strict=True):
                linear = nn.Linear(weight.shape[2], weight.shape[1], dtype=weight.dtype)
                linear.weight.copy_(weight[seed])
                linear.bias.copy_(bias[seed, :, 0])
                self.linears.append(linear)
            for norm in networks.norms:
                module = nn.BatchNorm1d(norm.weight.shape[1], dtype=norm.weight.dtype)
                for name, tensor in vars(norm).items():
                    getattr(module, name).copy_(tensor[seed])
                self.norms.append(module)

    def forward(self, x: Tensor) -> Tensor:
        """(N, n_in) -> (N, n_out), samples first, as torch's modules have it."""
        for index, linear in enumerate(self.linears):
            x = linear(x)
            if index < len(self.linears) - 1:
                x = x.relu()
                if self.norms:
                    x = self.norms[index](x)
        return x


def sgd(module: Module, batches: list[tuple[Tensor, Tensor]], lr: float) -> Module:
    """Plain SGD on the mean squared error; batches of (n, B), samples last."""
    optimizer = torch.optim.SGD(module.parameters(), lr=lr)
    module.train()
    for x, y in batches:
        optimizer.zero_grad()
        nn.functional.mse_loss(module(x.T), y.T).backward()
        optimizer.step()
    return module.eval()


def assert_same(module: Module, networks: FullyConnected, seed: int, **tolerance: float) -> None:
    """Every parameter and running statistic of the module equals this seed's."""
    for index, linear in enumerate(module.linears):
        torch.testing.assert_close(networks.weights[index][seed], linear.weight.detach(), **tolerance)
        torch.testing.assert_close(networks.biases[index][seed, :, 0], linear.bias.detach(), **tolerance)
    for norm, theirs in zip(networks.norms, module.norms, strict=True):
        for name, tensor in vars(norm).items():
            torch.testing.assert_close(tensor[seed], getattr(theirs, name).detach(), **tolerance)
