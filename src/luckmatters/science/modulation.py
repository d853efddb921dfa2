"""What the gradient of a hidden node is made of: β, β*, H, H* (paper, Lemma 1), for fully connected networks.

Everything is per sample and without BatchNorm (fold it first, :meth:`Networks.folded`). A layer's activations are
augmented by a constant node 1 (index n, the last), so that biases are weights. Once the gates are known, the output is
linear in any layer's augmented activations f: ``y = V f``, V the layer's *output map*. The paper's recursion

    β = Wᵀ H W,  H = gate β gate  (and with the teacher's W°, H*, gate° on the right: β*, H*)

starts from the identity at the output and unrolls to ``β = Vᵀ V`` and ``β* = Vᵀ V°``, which is how it is computed here.
Shapes: S seeds, N samples, C outputs, n nodes of a layer without the constant one; ° marks the teacher's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from luckmatters.science.networks import Networks

# Values of one output map that are held at once, so that it stays in cache; more samples pass in parts.
ROOM = 2**20


@dataclass(frozen=True)
class Layer:
    """What the rule needs of one hidden layer of S networks on N samples.

    activations, gates: (S, N, n + 1), the constant node last; output_map: V, (S, N or 1, C, n + 1).
    """

    activations: Tensor
    gates: Tensor
    output_map: Tensor

    @property
    def gated_map(self) -> Tensor:
        """V with the columns of closed nodes set to 0, (S, N, C, n + 1)."""
        return self.output_map * self.gates[:, :, None]


@dataclass(frozen=True)
class Modulation:
    """β and H (S, N, n + 1, n + 1), β* and H* (S, N, n + 1, n° + 1) of one hidden layer, for each sample.

    Next to the output layer β and β* are the same for all samples, (S, 1, …). gates: (S, N, n + 1); gates_star: (S, N,
    n° + 1).
    """

    beta: Tensor
    beta_star: Tensor
    gates: Tensor
    gates_star: Tensor

    @property
    def h(self) -> Tensor:
        """β between open nodes, 0 elsewhere."""
        return self.beta * self.gates[..., None] * self.gates[:, :, None]

    @property
    def h_star(self) -> Tensor:
        """β* likewise."""
        return self.beta_star * self.gates[..., None] * self.gates_star[:, :, None]


def augmented(networks: Networks) -> list[Tensor]:
    """Each layer's weights and biases in one matrix (S, n_out + 1, n_in + 1); the output layer has no constant node.

    Raises ValueError for convolutions and BatchNorm, for which the rule is not stated.
    """
    if networks.norms or any(weight.dim() != 3 for weight in networks.weights):
        raise ValueError("the gradient rule is for fully connected networks without BatchNorm")
    joined = [torch.cat(pair, 2) for pair in zip(networks.weights, networks.biases, strict=True)]
    constant = [torch.zeros_like(matrix[:, :1]) for matrix in joined[:-1]]
    for row in constant:
        row[..., -1] = 1
    return [*(torch.cat(rows, 1) for rows in zip(joined, constant, strict=False)), joined[-1]]


def layers(networks: Networks, x: Tensor) -> list[Layer]:
    """The hidden layers, lowest first, for samples (S or 1, n_in, N). Raises ValueError as :func:`augmented` does."""
    matrices = augmented(networks)
    hidden = [with_constant(f).transpose(1, 2) for f in networks.activations(x)[:-1]]
    gates = [(f > 0).to(f.dtype) for f in hidden]
    seeds, samples = hidden[0].shape[:2]
    output_map = matrices[-1].expand(seeds, -1, -1)[:, None]  # the same for every sample
    found = []
    for index in reversed(range(len(hidden))):
        found.append(Layer(hidden[index], gates[index], output_map))
        if index:
            gated = found[-1].gated_map.flatten(1, 2)  # (S, N · C, n + 1) x (S, n + 1, n_below + 1)
            output_map = (gated @ matrices[index]).unflatten(1, (samples, -1))
    return found[::-1]


def with_constant(f: Tensor) -> Tensor:
    """Nodes (S, n, N) with the constant one, (S, n + 1, N)."""
    return torch.cat([f, torch.ones_like(f[:, :1])], 1)


def modulation(student: Layer, teacher: Layer) -> Modulation:
    """β, β*, H, H* of a layer for every sample."""
    beta, beta_star = (student.output_map.transpose(2, 3) @ one.output_map for one in (student, teacher))
    return Modulation(beta, beta_star, student.gates, teacher.gates)


def gradients(student: Layer, teacher: Layer, found: Modulation) -> Tensor:
    """What the rule predicts that each student node receives, g (S, N, n): −∂(½ |y − y°|²) / ∂(its pre-activation).

    g_j = gate_j [Σ_k° β*_jk° f°_k° − Σ_k β_jk f_k], the constant nodes among k° and k (Lemma 1).
    """
    target, own = (
        (matrix @ layer.activations[..., None])[..., 0]
        for matrix, layer in ((found.beta_star, teacher), (found.beta, student))
    )
    return (student.gates * (target - own))[..., :-1]


def in_parts(students: Networks, teachers: Networks, x: Tensor) -> Iterator[tuple[list[Layer], list[Layer]]]:
    """The hidden layers of both for samples (S or 1, n_in, N), as many samples at a time as there is room for."""
    widest = max(students.widths[:-1] + teachers.widths[:-1]) + 1
    seeds = max(students.seeds, teachers.seeds, len(x))
    part = max(1, ROOM // (seeds * students.widths[-1] * widest))
    for samples in x.split(part, dim=2):
        yield layers(students, samples), layers(teachers, samples)


@dataclass
class Averages:
    """Means over samples for one hidden layer; the constant node is last on both axes.

    beta, h: (S, n + 1, n + 1); beta_star, h_star: (S, n + 1, n° + 1); moments, moments_star: L = E[f fᵀ] and
    L* = E[f f°ᵀ] of the same shapes; gates, gates_star: E[gate gateᵀ] and E[gate gate°ᵀ], likewise.
    """

    beta: Tensor
    beta_star: Tensor
    h: Tensor
    h_star: Tensor
    moments: Tensor
    moments_star: Tensor
    gates: Tensor
    gates_star: Tensor


def averages(students: Networks, teachers: Networks, x: Tensor, *, own: bool = True) -> list[Averages]:
    """The means of every hidden layer over samples (S or 1, n_in, N).

    own: whether β and H among students are wanted, whose cost grows with n²; they are left empty (S, 0, 0) if not.
    """
    sums: list[dict[str, Tensor]] = []
    for student, teacher in in_parts(students, teachers, x):
        uppermost = len(student) - 1
        found = [
            _sums(*pair, own=own, constant_beta=layer == uppermost)
            for layer, pair in enumerate(zip(student, teacher, strict=True))
        ]
        sums = [{k: old[k] + new[k] for k in new} for old, new in zip(sums, found, strict=True)] if sums else found
    means = [{name: total / x.shape[2] for name, total in one.items()} for one in sums]
    left, right = augmented(students), augmented(teachers)
    above = {"": torch.eye(students.widths[-1], dtype=x.dtype, device=x.device)}
    above["_star"] = above[""]
    for index in reversed(range(len(means))):
        mean = means[index]
        for kind, matrices in (("", left), ("_star", right)):
            if not own and not kind:
                mean["beta"] = mean["h"] = left[0].new_zeros(len(left[0]), 0, 0)
                continue
            # β is linear in the H above, so that its mean is made of the mean of that.
            mean[f"beta{kind}"] = left[index + 1].transpose(1, 2) @ above[kind] @ matrices[index + 1]
            if index == len(means) - 1:
                # Below the output β is the same for every sample, and the mean of H is made of the gates' alone.
                mean[f"h{kind}"] = mean[f"beta{kind}"] * mean[f"gates{kind}"]
            above[kind] = mean[f"h{kind}"]
    return [Averages(**mean) for mean in means]


def _sums(student: Layer, teacher: Layer, *, own: bool, constant_beta: bool) -> dict[str, Tensor]:
    """The sums over samples that :func:`averages` divides; those of H and H* but for a β that is the same for all."""
    pairs = {
        "moments": (student.activations, student.activations),
        "moments_star": (student.activations, teacher.activations),
        "gates": (student.gates, student.gates),
        "gates_star": (student.gates, teacher.gates),
    }
    if not constant_beta:
        gated = [one.gated_map.flatten(1, 2) for one in (student, teacher)]
        pairs |= {"h_star": tuple(gated)} | ({"h": (gated[0], gated[0])} if own else {})
    # (S, n + 1, N or N · C) x (S, N or N · C, n + 1)
    return {name: left.transpose(1, 2) @ right for name, (left, right) in pairs.items()}


def matrix_form(
    students: Networks, teachers: Networks, x: Tensor, found: list[Averages]
) -> list[tuple[Tensor, Tensor]]:
    """The averaged gradient of each hidden layer's weights by the products of averages, its two terms.

    The teacher's, (L*_below W°ᵀ H*ᵀ)ᵀ, and the students' own, (L_below Wᵀ Hᵀ)ᵀ, with H = E[H(x)]; the gradient is their
    difference (paper, Section 4). Each is (S, n, n_below + 1), the last column the bias's.
    """
    return _matrix_form(students, teachers, x, found, [(one.h, one.h_star) for one in found])


def recursive_matrix_form(
    students: Networks, teachers: Networks, x: Tensor, found: list[Averages]
) -> list[tuple[Tensor, Tensor]]:
    """The same where H is itself a product of averages: H = E[gate gateᵀ] ∘ (Wᵀ H_above W), top down."""
    own, target = augmented(students), augmented(teachers)
    identity = torch.eye(own[-1].shape[1], dtype=x.dtype, device=x.device)
    h = h_star = identity
    pairs = []
    for index in reversed(range(len(found))):
        above = own[index + 1].transpose(1, 2)
        h = (above @ h @ own[index + 1]) * found[index].gates
        h_star = (above @ h_star @ target[index + 1]) * found[index].gates_star
        pairs.append((h, h_star))
    return _matrix_form(students, teachers, x, found, pairs[::-1])


def _matrix_form(
    students: Networks, teachers: Networks, x: Tensor, found: list[Averages], pairs: list[tuple[Tensor, Tensor]]
) -> list[tuple[Tensor, Tensor]]:
    inputs = with_constant(x)
    lowest = inputs @ inputs.transpose(1, 2) / x.shape[2]
    below = [(lowest, lowest), *((one.moments, one.moments_star) for one in found[:-1])]
    result = []
    for (h, h_star), (moments, moments_star), own, target in zip(
        pairs, below, augmented(students), augmented(teachers), strict=False
    ):
        terms = h_star @ target @ moments_star.transpose(1, 2), h @ own @ moments
        result.append(tuple(term[:, :-1] for term in terms))  # without the constant node, which has no weights
    return result


def gradient_of_weights(g: Tensor, below: Tensor) -> Tensor:
    """E[g fᵀ] of a layer's weights, (S, n, n_below + 1), from g (S, N, n) and what it reads, f (S, N, n_below + 1)."""
    return g.transpose(1, 2) @ below / g.shape[1]
