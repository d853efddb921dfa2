"""The nodes that carry a function, on constructed networks with known answers."""

from dataclasses import replace

import pytest
import torch
from builders import CONV, FULL, draw, inputs, students

from luckmatters.science.carriers import contributions, effective_number, landed, removal_losses
from luckmatters.science.networks import Networks
from luckmatters.science.pruning import Mask, apply, by_source

SEEDS = [0, 3]
BOTH = pytest.mark.parametrize("shape", [FULL, CONV], ids=["full", "conv"])
NORMS = pytest.mark.parametrize("norm", [None, "after", "before"])


def squares(output: torch.Tensor) -> torch.Tensor:
    return output.square().mean((1, 2))


def reordered(networks: Networks, layer: int, order: list[int]) -> Networks:
    """The same functions, with the nodes of a hidden layer in another order."""
    weights, biases, norms = list(networks.weights), list(networks.biases), list(networks.norms)
    above, nodes = weights[layer + 1], len(order)
    weights[layer], biases[layer] = weights[layer][:, order], biases[layer][:, order]
    weights[layer + 1] = by_source(above, nodes)[:, :, order].reshape(above.shape)
    if norms:
        norms[layer] = type(norms[layer])(*(field[:, order] for field in vars(norms[layer]).values()))
    return Networks(weights, biases, norms, networks.place)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_the_effective_number_of_k_equal_nodes_is_k(k: int) -> None:
    shares = torch.zeros(2, 8)
    shares[:, 8 - k :] = torch.tensor([[0.3], [20.0]])
    assert effective_number(shares).tolist() == pytest.approx([k, k])


def test_the_effective_number_lies_between_one_and_all_nodes_and_ignores_order_and_size() -> None:
    shares = draw((5, 9)).square()
    number = effective_number(shares)
    assert ((number > 1) & (number < 9)).all()
    torch.testing.assert_close(effective_number(7 * shares[:, torch.randperm(9)]), number)


@NORMS
@BOTH
def test_a_contribution_is_what_the_node_sends_up(shape: dict, norm: str | None) -> None:
    networks, x = students(SEEDS, norm, shape=shape), draw((2, inputs(shape), 20))
    activations = networks.activations(x)
    for layer, found in enumerate(contributions(networks, x)):
        fan_out = by_source(networks.weights[layer + 1], found.shape[1]).transpose(1, 2).flatten(2)  # (S, n, all above)
        sent = fan_out[..., None] * activations[layer][:, :, None]  # (S, n, all above, samples and positions)
        torch.testing.assert_close(found, sent.square().sum(2).mean(2))


@NORMS
@BOTH
def test_a_removed_node_gives_nothing_to_the_layer_above(shape: dict, norm: str | None) -> None:
    networks, x = students(SEEDS, norm, shape=shape), draw((2, inputs(shape), 20))
    removed = removal_losses(networks, x, squares)
    assert [layer.shape[1] for layer in removed] == networks.widths[:-1]
    for layer, losses in enumerate(removed):
        for node in range(losses.shape[1]):
            weights = list(networks.weights)
            weights[layer + 1] = weights[layer + 1].clone()
            by_source(weights[layer + 1], losses.shape[1])[:, :, node] = 0
            torch.testing.assert_close(losses[:, node], squares(replace(networks, weights=weights)(x)))


def test_removal_is_pruning_of_a_single_node() -> None:
    networks, x = students(SEEDS, None), draw((2, 6, 20))
    kept = [torch.ones(2, width) for width in networks.widths[:-1]]
    kept[1][:, 2] = 0
    pruned = apply(networks, Mask(tuple(kept)))
    torch.testing.assert_close(removal_losses(networks, x, squares)[1][:, 2], squares(pruned(x)))


@BOTH
def test_the_order_of_nodes_changes_nothing(shape: dict) -> None:
    networks, x = students(SEEDS, "after", shape=shape), draw((2, inputs(shape), 20))
    order = list(reversed(range(networks.widths[0])))
    other = reordered(networks, 0, order)
    torch.testing.assert_close(other(x), networks(x))
    for measure in (contributions, lambda net, x: removal_losses(net, x, squares)):
        (lowest, *rest), (moved, *same) = measure(networks, x), measure(other, x)
        torch.testing.assert_close(moved, lowest[:, order])
        torch.testing.assert_close(same, rest)


def test_contributions_land_on_the_closest_teacher_node_and_dead_students_on_none() -> None:
    contribution = torch.tensor([[1.0, 2, 4, 8, 16]])
    closest = torch.tensor([[2, 0, 2, -1, 3]], dtype=torch.int16)
    assert landed(contribution, closest, 4).tolist() == [[2, 0, 5, 16]]
