"""Losses of networks on samples, and the loss of the best constant output, which they are compared with.

Targets are outputs of a teacher, (S, n_out, N), or labels, (S, N), integers. The loss on a sample is the mean over
outputs of the squared error, or the cross-entropy in nats.
"""

import torch
from torch import Tensor

from luckmatters.science.moments import in_parts
from luckmatters.science.networks import Networks


def outputs(networks: Networks, x: Tensor) -> Tensor:
    """The outputs on samples (S or 1, n_in, N), which pass in parts, (S, n_out, N)."""
    return torch.cat([networks(part) for part in in_parts(x, networks)], 2)


def mean_loss(output: Tensor, targets: Tensor) -> Tensor:
    """The mean loss over samples, (S,), float64.

    output: (S, n_out, N); targets: see the module, of all networks or of a single set of samples.
    """
    if targets.dim() == 3:
        return (output - targets).square().mean(1).double().mean(1)
    known = targets.expand(len(output), -1)
    return torch.nn.functional.cross_entropy(output, known, reduction="none").double().mean(1)


def constant_loss(targets: Tensor) -> Tensor:
    """The mean loss of the best constant output, (S,), float64: what is left of a network that has learned nothing.

    For outputs this is the variance over samples, mean over outputs; for labels the entropy of the labels' frequencies.
    """
    if targets.dim() == 3:
        return targets.double().var(2, correction=0).mean(1)
    shares = torch.nn.functional.one_hot(targets).double().mean(1)
    return -torch.special.xlogy(shares, shares).sum(1)
