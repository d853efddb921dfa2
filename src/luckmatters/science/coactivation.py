"""How often two nodes of a layer fire together. The paper assumes that teacher nodes overlap little."""

from dataclasses import dataclass

import torch
from torch import Tensor


class Coactivation:
    """Counts of samples on which one node of a layer fires, or two nodes fire together; samples come in parts."""

    def __init__(self) -> None:
        self._samples = 0
        self._joint: Tensor | int = 0

    def add(self, activation: Tensor) -> None:
        """Count a part of the samples. A node fires where its activation is above zero.

        activation: of the layer after the ReLU, (S, n, P).
        """
        fires = (activation > 0).float()
        self._samples += activation.shape[2]
        # Counts below 2²⁴ are exact in float32: (S, n, P) x (S, P, n) -> (S, n, n)
        self._joint = self._joint + sum(
            torch.bmm(part, part.transpose(1, 2)).double() for part in fires.split(2**24 - 1, dim=2)
        )

    def measure(self) -> "LayerCoactivation":
        """The firing probabilities over all samples counted so far."""
        joint = self._joint / self._samples
        return LayerCoactivation(joint.diagonal(dim1=1, dim2=2), joint)


@dataclass(frozen=True)
class LayerCoactivation:
    """Firing probabilities of a layer's nodes and pairs of nodes, float64.

    fires: P(f_j > 0) of each node, (S, n).
    joint: P(f_j > 0 and f_k > 0) of each pair, (S, n, n).
    """

    fires: Tensor
    joint: Tensor

    def alone(self) -> Tensor:
        """The mean over nodes of P(f_j > 0), (S,)."""
        return self.fires.mean(1)

    def together(self) -> Tensor:
        """The mean over pairs of different nodes of P(f_j > 0 and f_k > 0), (S,)."""
        return pairs(self.joint).mean(1)

    def independent(self) -> Tensor:
        """The mean over pairs of different nodes of P(f_j > 0) · P(f_k > 0), as if nodes fired independently, (S,)."""
        return pairs(self.fires[:, :, None] * self.fires[:, None]).mean(1)


def pairs(square: Tensor) -> Tensor:
    """The entries above the diagonal of square matrices: an entry for each pair of different nodes.

    square: (S, n, n). Returns (S, n · (n − 1) / 2).
    """
    row, column = torch.triu_indices(*square.shape[1:], offset=1, device=square.device)
    return square[:, row, column]
