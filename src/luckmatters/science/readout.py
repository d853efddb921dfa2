"""The output layer alone, on given features: the best that there is, and the learning rates at which SGD is stable."""

import torch
from torch import Tensor

from luckmatters.science.networks import Networks


class Readout:
    """The least-squares output layer, from features and targets that come in parts."""

    def __init__(self) -> None:
        self._square: Tensor | float = 0.0
        self._cross: Tensor | float = 0.0

    def add(self, features: Tensor, target: Tensor) -> None:
        """Add samples.

        features: (S, n, P); target: wanted outputs on the same samples, (S or 1, n_out, P).
        """
        h = with_constant(features).double()
        self._square = self._square + h @ h.mT  # (S, n + 1, P) x (S, P, n + 1)
        self._cross = self._cross + target.double() @ h.mT  # (S, n_out, P) x (S, P, n + 1)

    def solve(self) -> tuple[Tensor, Tensor]:
        """Weights (S, n_out, n) and biases (S, n_out, 1) with the least squared error on all samples, float64.

        Where several have it, as with dead nodes, those with the smallest norm. NaN where features are not finite.
        """
        square, broken = without_broken(self._square)
        solution = (self._cross @ torch.linalg.pinv(square, hermitian=True)).masked_fill(broken, torch.nan)
        return solution[..., :-1], solution[..., -1:]


def with_constant(features: Tensor) -> Tensor:
    """Features (S, n, P) and, as the last node, the constant 1 that reads the bias: (S, n + 1, P)."""
    return torch.cat([features, torch.ones_like(features[:, :1])], 1)


def without_broken(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Second moments (S, n, n) with zeros in the seeds with NaN or infinite ones, and whether a seed has, (S, 1, 1).

    Torch refuses to decompose such matrices, for all seeds together.
    """
    broken = ~moments.isfinite().flatten(1).all(1)[:, None, None]
    return moments.masked_fill(broken, 0), broken


def with_readout(networks: Networks, weight: Tensor, bias: Tensor) -> Networks:
    """Networks with another output layer, of the type of the others; hidden layers are shared, not copied.

    weight: (S, n_out, n); bias: (S, n_out, 1).
    """
    weight, bias = weight.to(networks.weights[-1]), bias.to(networks.biases[-1])
    return Networks([*networks.weights[:-1], weight], [*networks.biases[:-1], bias], networks.norms, networks.place)


def largest_stable_rate(features: Tensor, outputs: int) -> Tensor:
    """The learning rate above which SGD on the output layer alone diverges, (S,), float64.

    For the squared error, averaged over outputs, it is outputs / λ, where λ is the greatest eigenvalue of the features'
    second moments. NaN where features are not finite.
    features: (S, n, P); outputs: number of outputs.
    """
    h = with_constant(features).double()
    moments, broken = without_broken(h @ h.mT / h.shape[2])
    return (outputs / torch.linalg.eigvalsh(moments)[:, -1]).masked_fill(broken[:, 0, 0], torch.nan)
