"""The nodes that carry a network's function: effective numbers, removal of single nodes, and where nodes have gone."""

from collections.abc import Callable

import torch
from torch import Tensor

from luckmatters.science.layers import as_nodes
from luckmatters.science.networks import Networks


def contributions(networks: Networks, x: Tensor) -> list[Tensor]:
    """The squared norm of fan-out weights times the mean squared activation of each hidden node, (S, n) a layer.

    This is the mean over samples of what the node sends to the layer above, squared and summed over the nodes above. In
    a convolution the mean is over samples and positions.
    x: samples, (S or 1, n_in, N).
    """
    energies = [activation.double().square().mean(2) for activation in networks.activations(x)[:-1]]
    return [norms.double().square() * energy for norms, energy in zip(networks.fan_out_norms(), energies, strict=True)]


def effective_number(shares: Tensor) -> Tensor:
    """The participation ratio (Σ p)² / Σ p² of non-negative numbers p, (S, n) -> (S,).

    k equal numbers give k, whatever zeros stand beside them. NaN if all numbers are 0.
    """
    shares = shares.double()
    return shares.sum(1).square() / shares.square().sum(1)


def landed(contribution: Tensor, closest: Tensor, teacher_nodes: int) -> Tensor:
    """The contribution of student nodes summed by the teacher node that they are closest to, (S, n°).

    contribution: (S, n); closest: the teacher node of each student node, (S, n), −1 for a dead student node.
    """
    sums = torch.zeros(len(contribution), teacher_nodes, dtype=contribution.dtype)
    return sums.scatter_add_(1, closest.long().clamp(min=0), contribution.where(closest >= 0, 0))


def removal_losses(networks: Networks, x: Tensor, loss: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """The loss after the removal of each hidden node alone, (S, n) for each hidden layer.

    A removed node gives 0, after BatchNorm where there is one.
    x: samples, (S, n_in, N), that fit in memory at once; loss: from outputs (S, n_out, N) to losses (S,).
    """
    removed = []
    for layer, activation in enumerate(networks.layers(x)):
        if layer == len(networks.weights) - 1:
            return removed
        above = Networks(
            networks.weights[layer + 1 :], networks.biases[layer + 1 :], networks.norms[layer + 1 :], networks.place
        )
        nodes = as_nodes(activation, networks.seeds).clone()
        by_node = nodes.unflatten(1, (networks.widths[layer], -1))  # a view: (S, n, positions, N)
        without = []
        for node in range(networks.widths[layer]):
            kept = by_node[:, node].clone()
            by_node[:, node] = 0
            without.append(loss(above(nodes)))
            by_node[:, node] = kept
        removed.append(torch.stack(without, 1))
    return removed
