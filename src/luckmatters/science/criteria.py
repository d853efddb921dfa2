"""Pruning criteria: scores of nodes or of weights, the greatest kept.

Scores of nodes are (S, n) for each hidden layer. Scores of weights have the shape of the weights for each layer.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from luckmatters.science.networks import Networks
from luckmatters.science.overlap import Overlap, rank
from luckmatters.science.pruning import by_source
from luckmatters.science.random import generator


def node_magnitude(networks: Networks) -> list[Tensor]:
    """The L2 norm of each hidden node's fan-in and fan-out weights together."""
    fan_in = [weight.flatten(2).norm(dim=2) for weight in networks.weights[:-1]]
    return [torch.hypot(below, above) for below, above in zip(fan_in, networks.fan_out_norms(), strict=True)]


def spread(networks: Networks, x: Tensor) -> list[Tensor]:
    """The standard deviation of each hidden node's activation over samples and positions.

    x: samples, (S, n_in, N).
    """
    return [layer.std(2, correction=0) for layer in networks.activations(x)[:-1]]


def fan_out_spread(networks: Networks, x: Tensor) -> list[Tensor]:
    """How much each hidden node moves the layer above: fan-out norm times spread.

    x: samples, (S, n_in, N).
    """
    return [norm * std for norm, std in zip(networks.fan_out_norms(), spread(networks, x), strict=True)]


def node_overlap(teachers: Networks, networks: Networks, x: Tensor) -> list[Tensor]:
    """The oracle's score of each hidden node, which knows the teacher: by rank for any teacher node, then by ρ.

    The best students of any teacher node come first, then the second best, and so on. The greatest ρ decides between
    equal ranks. By ρ alone a teacher node could be left without a student. A dead teacher node, whose ρ is 0 with all
    students, gets no student.
    x: samples, (S, n_in, N).
    """
    scores = []
    for theirs, ours in list(zip(teachers.activations(x), networks.activations(x), strict=True))[:-1]:
        overlap = Overlap()
        overlap.add(theirs, ours)
        rho = overlap.correlation()
        place = rank(rho).masked_fill((rho == 0).all(2, keepdim=True), rho.shape[2])
        scores.append(rho.amax(1) / 4 - place.amin(1))  # |ρ| / 4 < 1/2: never moves a node past another place
    return scores


def weight_magnitude(networks: Networks) -> list[Tensor]:
    """The absolute value of each weight."""
    return [weight.abs() for weight in networks.weights]


def weight_spread(networks: Networks, x: Tensor) -> list[Tensor]:
    """How much each weight moves its node: |w| times the spread of the input or node that the weight reads.

    x: samples, (S, n_in, N).
    """
    lowest = networks.weights[0]
    channels = lowest.shape[2]
    inputs = x.expand(networks.seeds, -1, -1).unflatten(1, (channels, -1)).flatten(2).std(2, correction=0)
    sources = [inputs, *spread(networks, x)]
    return [
        (by_source(weight.abs(), below.shape[1]) * below[:, None, :, None]).view(weight.shape)
        for weight, below in zip(networks.weights, sources, strict=True)
    ]


def at_random(networks: Networks, *, seeds: Sequence[int]) -> list[Tensor]:
    """Scores of hidden nodes that say nothing: uniform random numbers, from a separate generator for each seed."""
    streams = [generator("random-nodes", seed) for seed in seeds]
    return [
        torch.from_numpy(np.stack([stream.random(weight.shape[1]) for stream in streams])).to(weight.device)
        for weight in networks.weights[:-1]
    ]
