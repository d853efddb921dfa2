"""Where pruned networks start from when they are trained again: the lottery ticket, and what it is compared with.

Every branch is a function of a finished training run and of the mask that was cut from it; each gives networks and the
mask that they have. They differ in what they start from (initial, early, new weights) or in which nodes they keep. New
weights are one draw a seed, ``ticket-init``, that all branches with new weights share: they differ in its signs or its
scale alone.
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
    """A finished training run: its students at initialization, at an early epoch (if wanted) and at the end; S seeds.

    inputs, kernel: see :func:`luckmatters.science.shapes.weight_shapes`; norm_scale: see
    :func:`luckmatters.science.networks.initialize_students`.
    """

    initial: Networks
    early: Networks | None
    final: Networks
    seeds: Sequence[int]
    inputs: Sequence[int]
    kernel: int | None
    norm_scale: Literal["uniform"] | None = None

    def drawn(self, widths: Sequence[int], purpose: str) -> Networks:
        """Networks with torch's default initialization, from other streams than the students'."""
        first = self.initial.weights[0]
        return initialize_students(
            self.inputs, widths, seeds=self.seeds, purpose=purpose, kernel=self.kernel,
            batch_norm=bool(self.initial.norms), norm_scale=self.norm_scale, place=self.initial.place,
            device=str(first.device), dtype=first.dtype,
        )  # fmt: skip

    @property
    def redrawn(self) -> Networks:
        """The students with new weights and biases of the same distribution."""
        return self.drawn(self.initial.widths, "ticket-init")


@dataclass(frozen=True)
class Start:
    """Pruned networks, and the mask that was applied to the dense ones (None: there were none)."""

    networks: Networks
    mask: Mask | None


BRANCHES: dict[str, Callable[[Trunk, Mask], Start]] = {}


def branch(function: Callable[[Trunk, Mask], Start]) -> Callable[[Trunk, Mask], Start]:
    """A branch by the function's name, with hyphens: experiments may ask for it from now on."""
    BRANCHES[function.__name__.replace("_", "-")] = function
    return function


def start(networks: Networks, mask: Mask) -> Start:
    """These dense networks, pruned."""
    return Start(pruning.apply(networks, mask), mask)


@branch
def rewound(trunk: Trunk, mask: Mask) -> Start:
    """The ticket: what is kept goes back to its initial weights."""
    return start(trunk.initial, mask)


@branch
def early(trunk: Trunk, mask: Mask) -> Start:
    """What is kept goes back to its weights at an early epoch."""
    return start(trunk.early, mask)


@branch
def untrained(trunk: Trunk, mask: Mask) -> Start:
    """What is kept has its final weights."""
    return start(trunk.final, mask)


@branch
def dense(trunk: Trunk, mask: Mask) -> Start:
    """Nothing is pruned."""
    return start(trunk.initial, Mask.everything(trunk.initial, nodes=mask.of_nodes))


@branch
def reinitialized(trunk: Trunk, mask: Mask) -> Start:
    """The same mask on new weights ("buying a new ticket")."""
    return start(trunk.redrawn, mask)


@branch
def same_signs(trunk: Trunk, mask: Mask) -> Start:
    """The same mask on new weights with the initial ones' signs (biases too)."""
    return start(_map(torch.copysign, trunk.redrawn, trunk.initial), mask)


@branch
def own_scale(trunk: Trunk, mask: Mask) -> Start:
    """The same mask on new weights of the size that nodes with so few inputs are given."""
    return start(at_own_scale(trunk.redrawn, mask), mask)


@branch
def rewound_own_scale(trunk: Trunk, mask: Mask) -> Start:
    """The ticket, its weights enlarged likewise: what luck is worth where scale is the same."""
    return start(at_own_scale(trunk.initial, mask), mask)


@branch
def random_nodes(trunk: Trunk, mask: Mask) -> Start:
    """Initial weights of other nodes, chosen at random: the same structure elsewhere."""
    return start(trunk.initial, pruning.on_random_nodes(mask, seeds=trunk.seeds))


@branch
def shuffled(trunk: Trunk, mask: Mask) -> Start:
    """Initial weights under a shuffled mask: as many in each layer, anywhere."""
    return start(trunk.initial, pruning.shuffled(mask, seeds=trunk.seeds))


@branch
def scratch(trunk: Trunk, mask: Mask) -> Start:
    """A network of the pruned one's widths, with its own initialization: never pruned at all."""
    widths = [max(1, int(count.max())) for count in mask.counts()]
    return Start(trunk.drawn([*widths, trunk.initial.widths[-1]], "ticket-scratch"), None)


def at_own_scale(networks: Networks, mask: Mask) -> Networks:
    """Weights multiplied so that ±1/sqrt(fan-in) is taken over the inputs that each node still reads.

    Biases likewise where nodes are pruned; single weights are pruned without them, and leave them as they were.
    """
    factors = [share.rsqrt() for share in kept_fan_in(networks, mask)]
    weights, biases = (
        [tensor * by.view(*by.shape, *[1] * (tensor.dim() - 2)) for tensor, by in zip(layers, factors, strict=True)]
        for layers in (networks.weights, networks.biases)
    )
    return replace(networks, weights=weights, biases=biases if mask.of_nodes else networks.biases)


def kept_fan_in(networks: Networks, mask: Mask) -> list[Tensor]:
    """Which share of its inputs each node still reads, (S, n) a layer or (S, 1) if all alike; 1 where it reads none."""
    if mask.of_nodes:
        shares = [layer.mean(1, keepdim=True) for layer in mask.layers]
        shares = [torch.ones_like(shares[0]), *shares]
    else:
        shares = [layer.flatten(2).mean(2) for layer in mask.layers]
    return [torch.where(share > 0, share, 1.0).to(networks.weights[0].dtype) for share in shares]


def _map(function: Callable[[Tensor, Tensor], Tensor], one: Networks, other: Networks) -> Networks:
    """A function of the weights and biases of two networks of one shape."""
    pairs = (one.weights, other.weights), (one.biases, other.biases)
    weights, biases = ([function(a, b) for a, b in zip(*pair, strict=True)] for pair in pairs)
    return replace(one, weights=weights, biases=biases)
