"""Pruning: masks of kept nodes or weights of S networks, and the networks that remain.

A mask of nodes has a tensor (S, n) for each hidden layer. Pruned nodes are taken out, so that networks get narrower. A
mask of weights has a tensor in the weights' shape for each layer, the output layer included. Networks keep their
widths, and biases are not pruned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from luckmatters.science.networks import BatchNorm, Networks
from luckmatters.science.random import generator


@dataclass(frozen=True)
class Mask:
    """The kept nodes or weights of S networks: 1 where kept, 0 where pruned.

    layers: see the module. Raises ValueError for any other value.
    """

    layers: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        for index, layer in enumerate(self.layers):
            if not ((layer == 0) | (layer == 1)).all():
                raise ValueError(f"a mask holds 0 and 1 alone; layer {index} has other values")

    @classmethod
    def everything(cls, networks: Networks, *, nodes: bool) -> "Mask":
        """A mask that keeps all hidden nodes, or all weights if `nodes` is false."""
        shapes = [w.shape[:2] for w in networks.weights[:-1]] if nodes else [w.shape for w in networks.weights]
        return cls(tuple(torch.ones(shape, device=networks.weights[0].device) for shape in shapes))

    @classmethod
    def interleaved(cls, masks: Sequence["Mask"]) -> "Mask":
        """The masks of networks in turn, as :meth:`luckmatters.science.networks.Networks.interleaved` orders them."""
        layers = zip(*(mask.layers for mask in masks), strict=True)
        return cls(tuple(torch.stack(parts, 1).flatten(0, 1) for parts in layers))

    @property
    def of_nodes(self) -> bool:
        """Whether the mask is over nodes, not over weights."""
        return self.layers[0].dim() == 2

    def counts(self) -> Tensor:
        """The number of kept nodes or weights, (layers, S), integers."""
        return torch.stack([layer.flatten(1).sum(1) for layer in self.layers]).long()

    def each(self) -> list["Mask"]:
        """The masks of the S networks singly, as views."""
        return [Mask(tuple(layer[seed : seed + 1] for layer in self.layers)) for seed in range(len(self.layers[0]))]

    def state(self) -> dict[str, Tensor]:
        """A copy of every layer, on the CPU, by name."""
        return {str(index): layer.to("cpu", copy=True) for index, layer in enumerate(self.layers)}

    @classmethod
    def from_state(cls, state: dict[str, Tensor], *, device: str = "cpu") -> "Mask":
        """The inverse of :meth:`state`."""
        return cls(tuple(state[str(index)].to(device) for index in range(len(state))))


# --- exact top-k -----------------------------------------------------------------------------------------------------


def greatest(scores: Tensor, count: int | Tensor) -> Tensor:
    """Mark the `count` greatest scores of each seed with 1, the others with 0; the lower index wins between equals.

    scores: (S, …); the result has the same shape. count: for all seeds, or for each seed, (S,).
    Raises ValueError if there are fewer scores than `count`.
    """
    flat = scores.flatten(1)
    counts = torch.as_tensor(count, device=flat.device).expand(len(flat))
    if not ((counts >= 0) & (counts <= flat.shape[1])).all():
        raise ValueError(f"{counts.tolist()} of {flat.shape[1]} cannot be kept")
    place = flat.sort(dim=1, descending=True, stable=True).indices.argsort(1)
    return (place < counts[:, None]).float().view(scores.shape)


def keep_by_layer(scores: Sequence[Tensor], counts: Sequence[int] | Tensor) -> Mask:
    """The mask that keeps the greatest scores within each layer.

    scores: of each layer, (S, …); counts: the number to keep in each layer, or in each layer and seed, (layers, S).
    """
    return Mask(tuple(greatest(layer, count) for layer, count in zip(scores, counts, strict=True)))


def keep_overall(scores: Sequence[Tensor], counts: Sequence[int]) -> Mask:
    """The mask that keeps the greatest scores of the whole network, as many as `counts` in sum.

    scores: of each layer, (S, …).
    """
    joined = torch.cat([layer.flatten(1) for layer in scores], 1)
    parts = greatest(joined, sum(counts)).split([layer[0].numel() for layer in scores], 1)
    return Mask(tuple(part.view(layer.shape) for part, layer in zip(parts, scores, strict=True)))


def in_place(scores: Sequence[Tensor], mask: Mask) -> list[Tensor]:
    """Scores of pruned networks at the places of the unpruned networks; −inf for pruned nodes or weights.

    A node or weight that an earlier round pruned is therefore never kept again.
    scores: of the networks that :func:`apply` gives, for each layer.
    """
    if not mask.of_nodes:
        return [layer.masked_fill(kept == 0, -torch.inf) for layer, kept in zip(scores, mask.layers, strict=True)]
    full = []
    for layer, kept in zip(scores, mask.layers, strict=True):
        index, real = _positions(kept)
        empty = torch.full(kept.shape, -torch.inf, dtype=layer.dtype, device=layer.device)
        full.append(empty.scatter(1, index, layer.masked_fill(real == 0, -torch.inf)))
    return full


# --- masks of the same size ------------------------------------------------------------------------------------------


def shuffled(mask: Mask, *, seeds: Sequence[int]) -> Mask:
    """A random mask that keeps as many in each layer and seed as `mask` does."""
    streams = [generator("ticket-shuffle", seed) for seed in seeds]
    layers = []
    for layer in mask.layers:
        orders = np.stack([stream.permutation(layer[0].numel()) for stream in streams])
        layers.append(layer.flatten(1).gather(1, torch.from_numpy(orders).to(layer.device)).view(layer.shape))
    return Mask(tuple(layers))


def on_random_nodes(mask: Mask, *, seeds: Sequence[int]) -> Mask:
    """The mask with the nodes of each hidden layer permuted at random, together with fan-in and fan-out weights."""
    streams = [generator("ticket-nodes", seed) for seed in seeds]
    hidden = mask.layers if mask.of_nodes else mask.layers[:-1]
    orders = [
        torch.from_numpy(np.stack([stream.permutation(layer.shape[1]) for stream in streams])).to(layer.device)
        for layer in hidden
    ]
    if mask.of_nodes:
        return Mask(tuple(layer.gather(1, order) for layer, order in zip(mask.layers, orders, strict=True)))
    return Mask(tuple(_reorder(mask.layers, orders)))


# --- what remains ----------------------------------------------------------------------------------------------------


def by_source(weight: Tensor, nodes: int) -> Tensor:
    """A layer's weights sorted by the node below that they read, (S, n_out, nodes, positions or kernel).

    weight: (S, n_out, …); nodes: the number of nodes below.
    """
    return weight.reshape(*weight.shape[:2], nodes, -1)


def over_weights(mask: Mask, networks: Networks) -> Mask:
    """The mask of weights that keeps the weights between the kept nodes of a mask of nodes."""
    kept = list(Mask.everything(networks, nodes=False).layers)
    for index, nodes in enumerate(mask.layers):
        kept[index] *= nodes.view(*nodes.shape, *[1] * (kept[index].dim() - 2))
        kept[index + 1] *= _above(nodes, kept[index + 1])
    return Mask(tuple(kept))


def apply(networks: Networks, mask: Mask) -> Networks:
    """The pruned networks, copied: narrower for a mask of nodes, with zeros as pruned weights for a mask of weights."""
    if mask.of_nodes:
        return narrow(networks, mask)
    pruned = Networks.from_state(dict(networks.named_tensors()), device=networks.weights[0].device)
    for weight, kept in zip(pruned.weights, mask.layers, strict=True):
        weight.mul_(kept)
    return pruned


def narrow(networks: Networks, mask: Mask) -> Networks:
    """Networks that consist of the kept nodes alone, in their order; outputs are as if pruned nodes gave 0.

    A layer has as many nodes as the seed that keeps most, and at least one node. A seed that keeps fewer gets empty
    nodes: weights and biases are zero and stay zero in training. BatchNorm would change empty nodes. Raises ValueError
    if networks with BatchNorm need empty nodes.
    """
    chosen, real = zip(*map(_positions, mask.layers), strict=True)
    if networks.norms and not all(layer.all() for layer in real):
        raise ValueError("with BatchNorm every seed must keep as many nodes of a layer, and one at least")
    silenced = [w * kept for w, kept in zip(networks.weights, over_weights(mask, networks).layers, strict=True)]
    *hidden, last = networks.biases
    biases = [
        bias.gather(1, nodes[..., None]) * present[..., None]
        for bias, nodes, present in zip(hidden, chosen, real, strict=True)
    ]
    norms = [
        BatchNorm(*(field.gather(1, nodes) for field in vars(norm).values()))
        for norm, nodes in zip(networks.norms, chosen, strict=False)
    ]
    return Networks(
        [weight.contiguous() for weight in _reorder(silenced, chosen)], [*biases, last.clone()], norms, networks.place
    )


def _positions(kept: Tensor) -> tuple[Tensor, Tensor]:
    """The indices of a layer's kept nodes, in their order, and whether each node is kept (1) or empty (0).

    kept: (S, n). Both results are (S, width).
    """
    width = max(1, int(kept.sum(1).max()))
    index = kept.sort(dim=1, descending=True, stable=True).indices[:, :width]
    return index, kept.gather(1, index)


def _reorder(layers: Sequence[Tensor], nodes: Sequence[Tensor]) -> list[Tensor]:
    """Tensors in the weights' shapes, with each hidden layer's nodes taken from given positions.

    nodes: the positions of each hidden layer, (S, n').
    """
    result = list(layers)
    for index, chosen in enumerate(nodes):
        this, above = result[index], result[index + 1]
        result[index] = torch.take_along_dim(this, chosen.view(*chosen.shape, *[1] * (this.dim() - 2)), 1)
        sources = torch.take_along_dim(by_source(above, this.shape[1]), chosen[:, None, :, None], 2)
        result[index + 1] = sources.view(*above.shape[:2], -1, *above.shape[3:])
    return result


def _above(nodes: Tensor, weight: Tensor) -> Tensor:
    """Values of nodes beside the weights of the layer above that read the nodes, in a shape that broadcasts.

    nodes: (S, n); weight: of the layer above.
    """
    values = nodes[:, None, :, None].expand(-1, -1, -1, weight.shape[2] // nodes.shape[1]).flatten(2)
    return values.view(*values.shape, *[1] * (weight.dim() - 3))
