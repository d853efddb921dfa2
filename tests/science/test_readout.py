"""The output layer alone: the best readout against numpy, the stable rate against gradient descent itself."""

import numpy as np
import pytest
import torch
from builders import draw, students

from luckmatters.science.readout import Readout, largest_stable_rate, with_readout

SEEDS = [0, 3]
FEATURES, TARGET = draw((2, 5, 40)).relu(), draw((2, 3, 40), 1)
FEATURES[0, 2] = 0  # a dead node


def solved(features: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    readout = Readout()
    for start in (0, 7, 30):
        stop = {0: 7, 7: 30, 30: 40}[start]
        readout.add(features[..., start:stop], target[..., start:stop])
    return readout.solve()


def test_the_best_readout_is_the_shortest_least_squares_solution_of_numpy() -> None:
    weight, bias = solved(FEATURES, TARGET)
    for seed in range(2):
        columns = np.vstack([FEATURES[seed].numpy(), np.ones(40)]).T
        expected = np.linalg.lstsq(columns, TARGET[seed].numpy().T, rcond=None)[0].T
        np.testing.assert_allclose(torch.cat([weight, bias], 2)[seed].numpy(), expected, atol=1e-9)
    assert (weight[0, :, 2].abs() < 1e-9).all()


def test_a_broken_seed_has_no_readout_and_no_rate_and_disturbs_no_other() -> None:
    broken = FEATURES.clone()
    broken[1, 0, 5] = torch.inf
    (weight, bias), (expected, _) = solved(broken, TARGET), solved(FEATURES, TARGET)
    assert torch.equal(weight[0], expected[0])
    assert weight[1].isnan().all()
    assert bias[1].isnan().all()
    rates = largest_stable_rate(broken, 3), largest_stable_rate(FEATURES, 3)
    assert rates[0][0] == rates[1][0]
    assert rates[0][1].isnan()


@pytest.mark.parametrize(("share", "stable"), [(0.95, True), (1.05, False)])
def test_gradient_descent_on_a_readout_diverges_from_the_largest_stable_rate_on(share: float, stable: bool) -> None:
    """The gradient by autograd, of the mean over samples and outputs of the squared error."""
    for seed, rate in enumerate(largest_stable_rate(FEATURES, 3)):
        layer = torch.nn.Linear(5, 3, dtype=torch.float64)
        optimizer = torch.optim.SGD(layer.parameters(), lr=share * float(rate))
        losses = []
        for _ in range(300):
            optimizer.zero_grad()
            losses.append(torch.nn.functional.mse_loss(layer(FEATURES[seed].T), TARGET[seed].T))
            losses[-1].backward()
            optimizer.step()
        assert (losses[-1] < losses[0]) == stable


def test_another_readout_leaves_hidden_layers_and_their_type_alone() -> None:
    networks = students(SEEDS, None, torch.float32)
    weight, bias = draw(tuple(networks.weights[-1].shape)), draw(tuple(networks.biases[-1].shape))
    changed, x = with_readout(networks, weight, bias), draw((2, 6, 10), 2, torch.float32)
    *hidden, output = changed.activations(x)
    assert all(torch.equal(a, b) for a, b in zip(hidden, networks.activations(x), strict=False))
    torch.testing.assert_close(output, weight.float() @ hidden[-1] + bias.float())
