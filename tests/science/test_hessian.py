"""The Hessian against torch's dense one in float64, and its spectrum against exact eigenvalues and moments."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import CONV, FULL, draw, inputs, students
from scipy.sparse.linalg import aslinearoperator, eigsh

from luckmatters.science.hessian import hessian, lanczos, near_zero, spectrum
from luckmatters.science.networks import Networks

SAMPLES = 30


def dense(network: Networks, x: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """The Hessian by torch.autograd.functional, of a loss in plain words."""
    parameters = [tensor for layer in range(len(network.weights)) for tensor in network.parameters(layer)]
    sizes = [tensor.numel() for tensor in parameters]

    def loss(vector: torch.Tensor) -> torch.Tensor:
        parts = iter(part.view_as(p) for part, p in zip(vector.split(sizes), parameters, strict=True))
        weights, biases, norms = [], [], []
        for layer in range(len(network.weights)):
            weights.append(next(parts))
            biases.append(next(parts))
            if layer < len(network.norms):
                norms.append(replace(network.norms[layer], weight=next(parts), bias=next(parts)))
        return (Networks(weights, biases, norms, network.place)(x) - target).square().mean()

    point = torch.cat([tensor.flatten() for tensor in parameters])
    return torch.autograd.functional.hessian(loss, point).numpy()


@pytest.mark.parametrize(("shape", "norm"), [(FULL, None), (FULL, "after"), (CONV, None)])
def test_products_are_those_of_the_dense_hessian(shape: dict, norm: str | None) -> None:
    network = students([3], norm, shape=shape)
    x = draw((1, inputs(shape), SAMPLES), 1)
    target = draw((1, shape["widths"][-1], SAMPLES), 2)
    operator = hessian(network, x, target)
    expected = dense(network, x, target)
    assert operator.shape == expected.shape
    for seed in range(3):
        vector = np.random.default_rng(seed).standard_normal(len(expected))
        np.testing.assert_allclose(operator.matvec(vector), expected @ vector, rtol=1e-9, atol=1e-12)


def test_the_hessian_of_a_linear_network_is_that_of_a_quadratic() -> None:
    """One layer: 2 / n_out times the second moments of the inputs and the constant, for each output alike."""
    network, x = students([0], None, shape={"inputs": (6,), "widths": [4]}), draw((1, 6, SAMPLES))
    augmented = np.vstack([x[0].numpy(), np.ones(SAMPLES)])
    expected = np.repeat(np.linalg.eigvalsh(2 / 4 * augmented @ augmented.T / SAMPLES), 4)
    operator = hessian(network, x, draw((1, 4, SAMPLES), 1))
    found = np.linalg.eigvalsh(operator @ np.eye(7 * 4))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    # Seven different eigenvalues: the Krylov space has no more dimensions, however many steps are asked for.
    values, shares = spectrum(operator, steps=20, streams=[np.random.default_rng(0)])
    np.testing.assert_allclose(np.sort(values), expected[::4], rtol=1e-9)
    assert shares.sum() == pytest.approx(1)


def symmetric(eigenvalues: np.ndarray) -> np.ndarray:
    vectors, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((len(eigenvalues),) * 2))
    return vectors * eigenvalues @ vectors.T


MATRIX = symmetric(np.concatenate([np.linspace(-1e-6, 1e-6, 60), np.linspace(-1, 4, 20)]))


def test_shares_have_the_moments_of_the_start_up_to_twice_the_steps() -> None:
    """Gauss quadrature with k values is exact for polynomials of degree 2k − 1."""
    steps, start = 6, np.random.default_rng(5).standard_normal(80)
    values, shares = spectrum(aslinearoperator(MATRIX), steps=steps, streams=[np.random.default_rng(5)])
    start /= np.linalg.norm(start)
    for power in range(2 * steps):
        assert (shares * values**power).sum() == pytest.approx(start @ np.linalg.matrix_power(MATRIX, power) @ start)


def test_the_share_near_zero_is_the_share_of_eigenvalues() -> None:
    streams = [np.random.default_rng(seed) for seed in range(300)]
    values, shares = spectrum(aslinearoperator(MATRIX), steps=24, streams=streams)
    # 60 of 80. Five standard errors of a mean of 300 squared cosines, each with variance 2 p (1 − p) / (P + 2).
    assert near_zero(values, shares, 1e-3) == pytest.approx(0.75, abs=5 * np.sqrt(2 * 0.75 * 0.25 / 82 / 300))
    assert near_zero(values, shares, 0.9999) < 1
    greatest = eigsh(MATRIX, k=1, which="LM", return_eigenvectors=False)
    assert np.abs(values).max() == pytest.approx(greatest[0], rel=1e-9)


def test_negative_eigenvalues_count_by_their_size() -> None:
    assert near_zero(np.array([-4.0, -0.003, 0.001, 0.5]), np.array([0.1, 0.2, 0.3, 0.4]), 0.001) == 0.5


def test_lanczos_finds_every_eigenvalue_once_whatever_rounding_does() -> None:
    """Without orthogonalization converged eigenvalues come again; 80 steps of 80 are the whole space."""
    matrix = symmetric(np.geomspace(1e-3, 1e3, 80))
    diagonal, beside = lanczos(aslinearoperator(matrix), np.random.default_rng(0).standard_normal(80), 80)
    found = np.linalg.eigvalsh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    np.testing.assert_allclose(found, np.geomspace(1e-3, 1e3, 80), rtol=1e-6)
