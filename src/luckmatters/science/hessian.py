"""The Hessian of a network's squared error by all parameters, and how much of its spectrum lies near zero.

The Hessian is never formed: automatic differentiation gives its product with a vector. Stochastic Lanczos quadrature
(Ubaru, Chen, Saad 2017) turns a few products into an estimate of the distribution of all eigenvalues.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from luckmatters.science.networks import Networks

ROUNDING = 100  # a product may be off by so many units in the last place of the greatest value


def hessian(network: Networks, x: Tensor, target: Tensor) -> LinearOperator:
    """The Hessian of the mean over samples and outputs of (output − target)², (P, P) for P parameters.

    Parameters stand in the order of :meth:`Networks.parameters`, lowest layer first. BatchNorm is in evaluation mode.
    network: a single network; x: samples, (1, n_in, N); target: (1, n_out, N). All have one type, the operator's too.
    """
    network = network.select([0])  # a copy, whose tensors keep a graph of their own
    layers = range(len(network.weights))
    parameters = [parameter.requires_grad_() for layer in layers for parameter in network.parameters(layer)]
    loss = (network(x) - target).square().mean()
    gradient = torch.autograd.grad(loss, parameters, create_graph=True)
    sizes = [parameter.numel() for parameter in parameters]

    def product(vector: np.ndarray) -> np.ndarray:
        parts = torch.from_numpy(vector.ravel()).to(loss.dtype).split(sizes)
        parts = [part.view_as(parameter) for part, parameter in zip(parts, parameters, strict=True)]
        products = torch.autograd.grad(gradient, parameters, parts, retain_graph=True)
        return torch.cat([one.flatten() for one in products]).numpy()

    dtype = torch.empty(0, dtype=loss.dtype).numpy().dtype
    return LinearOperator((sum(sizes), sum(sizes)), matvec=product, dtype=dtype)


def spectrum(
    operator: LinearOperator, *, steps: int, streams: Sequence[np.random.Generator]
) -> tuple[np.ndarray, np.ndarray]:
    """An estimate of the distribution of all eigenvalues: values and their shares, each (steps · number of streams,).

    operator: symmetric, (P, P), with P ≥ steps; steps: the number of products for each random start.
    streams: a random start is drawn from each.
    The values are those of the operator in the Krylov space of a start, the shares the squared cosines of the start
    with their vectors: Gauss quadrature, exact for polynomials of a degree below 2 · steps.
    """
    parts = []
    for stream in streams:
        values, vectors = eigh_tridiagonal(*lanczos(operator, stream.standard_normal(operator.shape[0]), steps))
        parts.append((values, vectors[0] ** 2 / len(streams)))
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def lanczos(operator: LinearOperator, start: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The diagonal (steps,) and the off-diagonal (steps − 1,) of the operator in the Krylov space of a start.

    Every new vector is made orthogonal to all earlier ones, twice, so that no eigenvalue comes again by rounding. Both
    results are shorter where the space has fewer dimensions than steps. The space is not taken from ARPACK, which does
    not begin with the start itself but with the operator's product with it.
    """
    basis, diagonal, beside = np.zeros((steps, len(start))), np.zeros(steps), np.zeros(steps)
    vector = start
    for step in range(steps):
        beside[step] = np.linalg.norm(vector)
        if step and beside[step] <= ROUNDING * np.finfo(operator.dtype).eps * np.abs(diagonal).max():
            return diagonal[:step], beside[1:step]
        basis[step] = vector / beside[step]
        vector = operator.matvec(basis[step].astype(operator.dtype)).astype(np.float64)
        diagonal[step] = basis[step] @ vector
        for _ in range(2):
            vector -= basis[: step + 1].T @ (basis[: step + 1] @ vector)
    return diagonal, beside[1:]


def near_zero(values: np.ndarray, shares: np.ndarray, level: float) -> float:
    """The share of eigenvalues that are at most `level` times the greatest one, in absolute value.

    values, shares: see :func:`spectrum`.
    """
    sizes = np.abs(values)
    return float(shares[sizes <= level * sizes.max()].sum())
