"""Groups of lucky and of irrelevant nodes, random changes of their fan-in, and where their fan-in went in training."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from luckmatters.science.alignment import fan_in_cosine
from luckmatters.science.criteria import node_overlap
from luckmatters.science.networks import Networks
from luckmatters.science.overlap import Overlap
from luckmatters.science.pruning import Mask, keep_by_layer


def groups(teachers: Networks, networks: Networks, x: Tensor) -> dict[str, Mask]:
    """Two groups of nodes, as many of each layer as the teacher has: ``lucky`` and ``irrelevant``.

    Lucky nodes are the best students of the teacher nodes (:func:`node_overlap`). Irrelevant nodes are, of all other
    nodes, those with the least fan-out norm. Networks have at least twice the teacher's nodes.
    x: samples, (S, n_in, N).
    """
    counts = teachers.widths[:-1]
    lucky = keep_by_layer(node_overlap(teachers, networks, x), counts)
    norms = zip(networks.fan_out_norms(), lucky.layers, strict=True)
    irrelevant = keep_by_layer([(-norm).masked_fill(kept == 1, -torch.inf) for norm, kept in norms], counts)
    return {"lucky": lucky, "irrelevant": irrelevant}


def fan_in(networks: Networks, layer: int) -> Tensor:
    """The weights that each node of a layer reads with, and its bias last, (S, n, n_below · kernel + 1)."""
    return torch.cat([networks.weights[layer].flatten(2), networks.biases[layer]], 2)


def random_changes(networks: Networks, layer: int, streams: Sequence[np.random.Generator]) -> Tensor:
    """Changes of each node's fan-in in a random direction, each as long as the fan-in itself, as :func:`fan_in`.

    streams: a generator for each network.
    """
    ours = fan_in(networks, layer)
    draws = np.stack([stream.standard_normal(ours.shape[1:], dtype=np.float32) for stream in streams])
    directions = torch.from_numpy(draws).to(ours)
    return directions / directions.norm(dim=2, keepdim=True) * ours.norm(dim=2, keepdim=True)


def changed(networks: Networks, layer: int, change: Tensor) -> Networks:
    """The networks with a change added to the fan-in of a layer's nodes; other tensors are shared.

    change: in the shape of :func:`fan_in`.
    """
    weights, biases = list(networks.weights), list(networks.biases)
    weights[layer] = weights[layer] + change[..., :-1].view_as(weights[layer])
    biases[layer] = biases[layer] + change[..., -1:]
    return replace(networks, weights=weights, biases=biases)


def moved(before: Tensor, after: Tensor) -> Tensor:
    """The mean square of the outputs' change, over the outputs' variance before the change, (S,).

    before, after: outputs, (S, n_out, N). The variance is that over samples, averaged over outputs.
    """
    return (after - before).square().mean((1, 2)) / before.var(2, correction=0).mean(1)


def start_distance(first: Networks, last: Networks, layer: int) -> Tensor:
    """1 − the cosine of each node's fan-in weights before and after training, without biases, (S, n)."""
    ours, theirs = (networks.weights[layer].flatten(2) for networks in (first, last))
    return 1 - torch.cosine_similarity(ours, theirs, dim=2)


def teacher_distances(teachers: Networks, networks: Networks, overlaps: Sequence[Overlap]) -> list[Tensor]:
    """1 − the greatest cosine of each node's fan-in weights with a live teacher node, (S, n) for each hidden layer.

    overlaps: of the hidden layers, between teachers and networks. Above the lowest layer weights on student nodes are
    turned into weights on the teacher nodes that these students are closest to (:func:`fan_in_cosine`).
    """
    distances, aligned = [], {}
    for layer, overlap in enumerate(overlaps):
        theirs, ours, live = teachers.weights[layer], networks.weights[layer], overlap.live()
        cosines = [
            fan_in_cosine(theirs, ours, torch.full_like(live, node, dtype=torch.long), **aligned)
            for node in range(ours.shape[1])
        ]
        distances.append(1 - torch.stack(cosines, 2).masked_fill(~live[..., None], -torch.inf).amax(1))
        aligned = {"below": overlap.substitution(), "live": live}
    return distances


def over_group(values: Tensor, group: Tensor) -> Tensor:
    """The mean over the nodes of a group, (S,).

    values: of each node, (S, n); group: a layer of a mask of nodes, (S, n).
    """
    return (values * group).sum(1) / group.sum(1)
