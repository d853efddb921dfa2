"""What pruning goes by: scores of nodes, (S, n) for each hidden layer, or of weights, in their shape for each layer."""

import torch
from torch import Tensor

from luckmatters.science.networks import Networks
from luckmatters.science.overlap import Overlap, rank
from luckmatters.science.pruning import by_source


def node_magnitude(networks: Networks) -> list[Tensor]:
    """The L2 norm of all weights that go with a node: its fan-in and its fan-out."""
    fan_in = [weight.flatten(2).norm(dim=2) for weight in networks.weights[:-1]]
    return [torch.hypot(below, above) for below, above in zip(fan_in, networks.fan_out_norms(), strict=True)]


def spread(networks: Networks, x: Tensor) -> list[Tensor]:
    """The standard deviation of every hidden node's activation over samples (S, n_in, N) and positions."""
    return [layer.std(2, correction=0) for layer in networks.activations(x)[:-1]]


def fan_out_spread(networks: Networks, x: Tensor) -> list[Tensor]:
    """How much a node moves what the layer above reads: fan-out norm times spread."""
    return [norm * moved for norm, moved in zip(networks.fan_out_norms(), spread(networks, x), strict=True)]


def node_overlap(teachers: Networks, networks: Networks, x: Tensor) -> list[Tensor]:
    """The best student of any teacher node comes first, then the second best of any, and so on; by ρ among equals.

    The oracle: it knows the teacher. Ranking by the greatest ρ alone would leave teacher nodes without a student; dead
    ones, whose ρ is 0 with all, get none.
    """
    scores = []
    for its, ours in list(zip(teachers.activations(x), networks.activations(x), strict=True))[:-1]:
        overlap = Overlap()
        overlap.add(its, ours)
        rho = overlap.correlation()
        place = rank(rho).masked_fill((rho == 0).all(2, keepdim=True), rho.shape[2])
        scores.append(rho.amax(1) / 4 - place.amin(1))  # |ρ| / 4 < 1/2: never moves a node past another place
    return scores


def weight_magnitude(networks: Networks) -> list[Tensor]:
    """|w|."""
    return [weight.abs() for weight in networks.weights]


def weight_spread(networks: Networks, x: Tensor) -> list[Tensor]:
    """How much a weight moves its node: |w| times the spread of the input or node that it reads."""
    lowest = networks.weights[0]
    channels = lowest.shape[2]
    inputs = x.expand(networks.seeds, -1, -1).unflatten(1, (channels, -1)).flatten(2).std(2, correction=0)
    sources = [inputs, *spread(networks, x)]
    return [
        (by_source(weight.abs(), below.shape[1]) * below[:, None, :, None]).view(weight.shape)
        for weight, below in zip(networks.weights, sources, strict=True)
    ]
