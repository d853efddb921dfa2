"""Pruning: which nodes or weights of S networks are kept, and the networks that remain.

A mask has one tensor a layer. Over nodes these are (S, n) for each hidden layer: what is not kept is really taken out,
so that networks get narrower. Over weights they have the weights' shapes, the output layer's included: networks keep
their widths, and biases are not pruned.
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
    """What is kept: 1, or 0. Raises ValueError if there is any other value."""

    layers: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        for index, layer in enumerate(self.layers):
            if not ((layer == 0) | (layer == 1)).all():
                raise ValueError(f"a mask holds 0 and 1 alone; layer {index} has other values")

    @classmethod
    def everything(cls, networks: Networks, *, nodes: bool) -> "Mask":
        """Nothing is pruned: of the hidden nodes, or of the weights."""
        shapes = [w.shape[:2] for w in networks.weights[:-1]] if nodes else [w.shape for w in networks.weights]
        return cls(tuple(torch.ones(shape, device=networks.weights[0].device) for shape in shapes))

    @classmethod
    def interleaved(cls, masks: Sequence["Mask"]) -> "Mask":
        """See :meth:`luckmatters.science.networks.Networks.interleaved`."""
        layers = zip(*(mask.layers for mask in masks), strict=True)
        return cls(tuple(torch.stack(parts, 1).flatten(0, 1) for parts in layers))

    @property
    def of_nodes(self) -> bool:
        """Whether whole nodes are kept, or else single weights."""
        return self.layers[0].dim() == 2

    def counts(self) -> Tensor:
        """How many are kept, (layers, S), integers."""
        return torch.stack([layer.flatten(1).sum(1) for layer in self.layers]).long()

    def each(self) -> list["Mask"]:
        """The masks of the S networks one by one, sharing memory with this."""
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
    """Mark the `count` greatest scores of each seed, (S, …) -> the same, 0 or 1; of equals those with lower index.

    count: the same for all seeds, or one for each, (S,). Raises ValueError if there are fewer scores than that.
    """
    flat = scores.flatten(1)
    counts = torch.as_tensor(count, device=flat.device).expand(len(flat))
    if not ((counts >= 0) & (counts <= flat.shape[1])).all():
        raise ValueError(f"{counts.tolist()} of {flat.shape[1]} cannot be kept")
    place = flat.sort(dim=1, descending=True, stable=True).indices.argsort(1)
    return (place < counts[:, None]).float().view(scores.shape)


def keep_by_layer(scores: Sequence[Tensor], counts: Sequence[int] | Tensor) -> Mask:
    """Keep that many of each layer, those with the greatest scores; counts: one a layer, or one a layer and seed."""
    return Mask(tuple(greatest(layer, count) for layer, count in zip(scores, counts, strict=True)))


def keep_overall(scores: Sequence[Tensor], counts: Sequence[int]) -> Mask:
    """Keep as many in sum, wherever in the network the greatest scores are."""
    joined = torch.cat([layer.flatten(1) for layer in scores], 1)
    parts = greatest(joined, sum(counts)).split([layer[0].numel() for layer in scores], 1)
    return Mask(tuple(part.view(layer.shape) for part, layer in zip(parts, scores, strict=True)))


def in_place(scores: Sequence[Tensor], mask: Mask) -> list[Tensor]:
    """Scores of pruned networks (see :func:`apply`) at the places of the unpruned ones; −inf where nothing was kept.

    So what an earlier round has pruned is never kept again.
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
    """As many in each layer and seed, anywhere in it."""
    streams = [generator("ticket-shuffle", seed) for seed in seeds]
    layers = []
    for layer in mask.layers:
        orders = np.stack([stream.permutation(layer[0].numel()) for stream in streams])
        layers.append(layer.flatten(1).gather(1, torch.from_numpy(orders).to(layer.device)).view(layer.shape))
    return Mask(tuple(layers))


def on_random_nodes(mask: Mask, *, seeds: Sequence[int]) -> Mask:
    """The mask's structure on other nodes: each hidden layer's nodes change places, with what they read and feed."""
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
    """A layer's weights (S, n_out, …) by the node below that they read, (S, n_out, nodes, positions or kernel)."""
    return weight.reshape(*weight.shape[:2], nodes, -1)


def over_weights(mask: Mask, networks: Networks) -> Mask:
    """A mask of nodes as one of weights: those between kept nodes."""
    kept = list(Mask.everything(networks, nodes=False).layers)
    for index, nodes in enumerate(mask.layers):
        kept[index] *= nodes.view(*nodes.shape, *[1] * (kept[index].dim() - 2))
        kept[index + 1] *= _above(nodes, kept[index + 1])
    return Mask(tuple(kept))


def apply(networks: Networks, mask: Mask) -> Networks:
    """The pruned networks, copied: narrower ones for a mask of nodes, else with zeros in place of pruned weights."""
    if mask.of_nodes:
        return narrow(networks, mask)
    pruned = Networks.from_state(dict(networks.named_tensors()), device=networks.weights[0].device)
    for weight, kept in zip(pruned.weights, mask.layers, strict=True):
        weight.mul_(kept)
    return pruned


def narrow(networks: Networks, mask: Mask) -> Networks:
    """Networks that consist of the kept nodes alone, in their order; their output is as if the others gave 0.

    A layer is as wide as the seed that keeps most in it (one at least) needs; a seed that keeps fewer gets nodes whose
    weights and biases are all zero, and which stay so in training. Raises ValueError if BatchNorm, which would move
    such a node, meets one.
    """
    chosen, real = zip(*map(_positions, mask.layers), strict=True)
    if networks.norms and not all(one.all() for one in real):
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
    """Where the kept nodes of a layer (S, n) are, in their order, (S, width); and which of those are real, 1 or 0."""
    width = max(1, int(kept.sum(1).max()))
    index = kept.sort(dim=1, descending=True, stable=True).indices[:, :width]
    return index, kept.gather(1, index)


def _reorder(layers: Sequence[Tensor], nodes: Sequence[Tensor]) -> list[Tensor]:
    """Tensors in the weights' shapes, with each hidden layer's nodes taken from these positions, (S, n') a layer."""
    found = list(layers)
    for index, chosen in enumerate(nodes):
        this, above = found[index], found[index + 1]
        found[index] = torch.take_along_dim(this, chosen.view(*chosen.shape, *[1] * (this.dim() - 2)), 1)
        sources = torch.take_along_dim(by_source(above, this.shape[1]), chosen[:, None, :, None], 2)
        found[index + 1] = sources.view(*above.shape[:2], -1, *above.shape[3:])
    return found


def _above(nodes: Tensor, weight: Tensor) -> Tensor:
    """Values of nodes (S, n) beside the weights of the layer above that read them, in a shape that broadcasts."""
    values = nodes[:, None, :, None].expand(-1, -1, -1, weight.shape[2] // nodes.shape[1]).flatten(2)
    return values.view(*values.shape, *[1] * (weight.dim() - 3))
