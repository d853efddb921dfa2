"""Starting points of pruned networks that are trained again: the lottery ticket and the controls.

A branch is a function of a finished training run and of a mask. The result has networks and the mask of these networks.
Branches differ in the weights (initial, early or new) or in the kept nodes. Branches with new weights share the same
random draw for each seed, ``ticket-init``, and differ in signs or scale alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from luckmatters.science import pruning
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.pruning import Mask


@dataclass(frozen=True)
class Trunk:
    """The S students of a finished training run at several epochs.

    initial, early, final: students at initialization, at an early epoch (None if not wanted) and at the end.
    inputs, kernel: see :func:`luckmatters.science.shapes.weight_shapes`.
    norm_scale: see :func:`luckmatters.science.networks.initialize_students`.
    """

    initial: Networks
    early: Networks | None
    final: Networks
    seeds: Sequence[int]
    inputs: Sequence[int]
    kernel: int | None
    norm_scale: Literal["uniform"] | None = None

    def drawn(self, widths: Sequence[int], purpose: str) -> Networks:
        """New networks with torch's default initialization.

        widths: nodes of each layer, the output layer last; purpose: of the generators.
        """
        first = self.initial.weights[0]
        return initialize_students(
            self.inputs, widths, seeds=self.seeds, purpose=purpose, kernel=self.kernel,
            batch_norm=bool(self.initial.norms), norm_scale=self.norm_scale, place=self.initial.place,
            device=str(first.device), dtype=first.dtype,
        )  # fmt: skip

    @property
    def redrawn(self) -> Networks:
        """New students with weights and biases of the same distribution."""
        return self.drawn(self.initial.widths, "ticket-init")


@dataclass(frozen=True)
class Start:
    """Pruned networks and the mask that was applied to dense networks; None if nothing was pruned."""

    networks: Networks
    mask: Mask | None


BRANCHES: dict[str, Callable[[Trunk, Mask], Start]] = {}


def branch(function: Callable[[Trunk, Mask], Start]) -> Callable[[Trunk, Mask], Start]:
    """Register a branch under the function's name, with hyphens, for experiments to ask for."""
    BRANCHES[function.__name__.replace("_", "-")] = function
    return function


def start(networks: Networks, mask: Mask) -> Start:
    """The start from dense networks, pruned by a mask."""
    return Start(pruning.apply(networks, mask), mask)


@branch
def rewound(trunk: Trunk, mask: Mask) -> Start:
    """The ticket: kept weights go back to their initial values."""
    return start(trunk.initial, mask)


@branch
def early(trunk: Trunk, mask: Mask) -> Start:
    """Kept weights go back to their values at an early epoch."""
    return start(trunk.early, mask)


@branch
def untrained(trunk: Trunk, mask: Mask) -> Start:
    """Kept weights have their final values."""
    return start(trunk.final, mask)


@branch
def dense(trunk: Trunk, mask: Mask) -> Start:
    """All initial weights, without pruning."""
    return start(trunk.initial, Mask.everything(trunk.initial, nodes=mask.of_nodes))


@branch
def reinitialized(trunk: Trunk, mask: Mask) -> Start:
    """New weights under the ticket's mask ("buying a new ticket")."""
    return start(trunk.redrawn, mask)


@branch
def same_signs(trunk: Trunk, mask: Mask) -> Start:
    """New weights and biases with the signs of the initial values, under the ticket's mask."""
    return start(_map(torch.copysign, trunk.redrawn, trunk.initial), mask)


@branch
def own_scale(trunk: Trunk, mask: Mask) -> Start:
    """New weights under the ticket's mask, scaled for the number of inputs that each node still reads."""
    return start(at_own_scale(trunk.redrawn, mask), mask)


@branch
def rewound_own_scale(trunk: Trunk, mask: Mask) -> Start:
    """The ticket, scaled for the number of inputs that each node still reads.

    The scale is the same as in ``own-scale``, so that the two branches differ in the luck of the weights alone.
    """
    return start(at_own_scale(trunk.initial, mask), mask)


@branch
def random_nodes(trunk: Trunk, mask: Mask) -> Start:
    """Initial weights of other nodes, chosen at random: the structure of the ticket's mask elsewhere."""
    return start(trunk.initial, pruning.on_random_nodes(mask, seeds=trunk.seeds))


@branch
def shuffled(trunk: Trunk, mask: Mask) -> Start:
    """Initial weights under a shuffled mask, which keeps as many in each layer as the ticket's mask."""
    return start(trunk.initial, pruning.shuffled(mask, seeds=trunk.seeds))


@branch
def scratch(trunk: Trunk, mask: Mask) -> Start:
    """New networks with the widths of the pruned networks, never pruned."""
    widths = [max(1, int(count.max())) for count in mask.counts()]
    return Start(trunk.drawn([*widths, trunk.initial.widths[-1]], "ticket-scratch"), None)


def at_own_scale(networks: Networks, mask: Mask) -> Networks:
    """Networks with weights scaled so that ±1/sqrt(fan-in) counts only the inputs that each node still reads.

    With a mask of nodes biases are scaled too. With a mask of weights they stay as they are.
    """
    factors = [share.rsqrt() for share in kept_fan_in(networks, mask)]
    weights, biases = (
        [tensor * by.view(*by.shape, *[1] * (tensor.dim() - 2)) for tensor, by in zip(layers, factors, strict=True)]
        for layers in (networks.weights, networks.biases)
    )
    return replace(networks, weights=weights, biases=biases if mask.of_nodes else networks.biases)


def kept_fan_in(networks: Networks, mask: Mask) -> list[Tensor]:
    """The share of inputs that each node still reads, (S, n) for each layer; 1 for a node that reads none.

    With a mask of nodes all nodes of a layer have the same share, (S, 1).
    """
    if mask.of_nodes:
        shares = [layer.mean(1, keepdim=True) for layer in mask.layers]
        shares = [torch.ones_like(shares[0]), *shares]
    else:
        shares = [layer.flatten(2).mean(2) for layer in mask.layers]
    return [torch.where(share > 0, share, 1.0).to(networks.weights[0].dtype) for share in shares]


def _map(function: Callable[[Tensor, Tensor], Tensor], first: Networks, second: Networks) -> Networks:
    """The first networks with a function of both networks' weights, and of both biases; both have the same shape."""
    pairs = (first.weights, second.weights), (first.biases, second.biases)
    weights, biases = ([function(a, b) for a, b in zip(*pair, strict=True)] for pair in pairs)
    return replace(first, weights=weights, biases=biases)
