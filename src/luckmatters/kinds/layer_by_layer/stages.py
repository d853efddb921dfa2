"""The ways of training, as plans of stages; imports no torch."""

from dataclasses import dataclass
from typing import Literal

Way = Literal["random", "reconstruction", "local-readout", "end-to-end"]


@dataclass(frozen=True)
class Stage:
    """Epochs in which some layers in a row learn, on top of frozen layers.

    begin, end: the epochs before the first and after the last step, counted from 0.
    first, last: the lowest and the highest layer that learn; the readout has the number of hidden layers.
    learns: what the output on top is compared with, the teacher's outputs or the inputs of the lowest layer.
    """

    begin: int
    end: int
    first: int
    last: int
    learns: Literal["outputs", "inputs"] = "outputs"


def stages(way: Way, depth: int, epochs: int) -> list[Stage]:
    """The stages of a way, in order, which share all epochs.

    depth: the number of hidden layers. Each hidden layer that learns for itself, and the readout, get equal shares of
    the epochs, as far as whole epochs allow.
    """
    if way == "end-to-end":
        return [Stage(0, epochs, 0, depth)]
    if way == "random":
        return [Stage(0, epochs, depth, depth)]
    *ends, _ = [(part + 1) * epochs // (depth + 1) for part in range(depth + 1)]
    spans = list(zip([0, *ends[:-1]], ends, range(depth), strict=True))
    if way == "reconstruction":
        hidden = [Stage(begin, end, layer, layer, "inputs") for begin, end, layer in spans]
    else:  # the local readout of the highest hidden layer is the network's own
        hidden = [Stage(begin, end, layer, layer + (layer == depth - 1)) for begin, end, layer in spans]
    return [*hidden, Stage(ends[-1], epochs, depth, depth)]
