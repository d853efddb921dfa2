"""The parts of a hidden node's gradient, β, β*, H and H* (paper, Lemma 1), for fully connected networks.

All parts are for each sample and without BatchNorm; :meth:`Networks.folded` removes BatchNorm. A layer's activations
have an additional constant node 1 (index n, the last), so that biases are weights. Once the gates are known, the output
is linear in any layer's augmented activations f: ``y = V f``, with V the layer's *output map*. The paper's recursion

    β = Wᵀ H W,  H = gate β gate  (and with the teacher's W°, H*, gate° on the right: β*, H*)

starts from the identity at the output and unrolls to ``β = Vᵀ V`` and ``β* = Vᵀ V°``, which this module computes.
Shapes: S seeds, N samples, C outputs, n nodes of a layer without the constant node; ° marks the teacher's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from luckmatters.science.networks import Networks

# The most values of an output map that are held at once, to stay in cache; samples pass in parts of this size.
ROOM = 2**20


@dataclass(frozen=True)
class Layer:
    """Activations, gates and output map of one hidden layer of S networks on N samples.

    activations, gates: (S, N, n + 1), the constant node last.
    output_map: V, (S, N or 1, C, n + 1).
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

    Next to the output layer β and β* are the same for all samples, (S, 1, …).
    gates: (S, N, n + 1); gates_star: (S, N, n° + 1).
    """

    beta: Tensor
    beta_star: Tensor
    gates: Tensor
    gates_star: Tensor

    @property
    def h(self) -> Tensor:
        """H: β between open nodes, 0 elsewhere, (S, N, n + 1, n + 1)."""
        return self.beta * self.gates[..., None] * self.gates[:, :, None]

    @property
    def h_star(self) -> Tensor:
        """H*: β* between open nodes of student and teacher, 0 elsewhere, (S, N, n + 1, n° + 1)."""
        return self.beta_star * self.gates[..., None] * self.gates_star[:, :, None]


def augmented(networks: Networks) -> list[Tensor]:
    """The weights and biases of each layer in one matrix, (S, n_out + 1, n_in + 1).

    The output layer has no constant node, (S, n_out, n_in + 1). Raises ValueError for convolutions and BatchNorm, for
    which the rule is not stated.
    """
    if networks.norms or any(weight.dim() != 3 for weight in networks.weights):
        raise ValueError("the gradient rule is for fully connected networks without BatchNorm")
    joined = [torch.cat(pair, 2) for pair in zip(networks.weights, networks.biases, strict=True)]
    constant = [torch.zeros_like(matrix[:, :1]) for matrix in joined[:-1]]
    for row in constant:
        row[..., -1] = 1
    return [*(torch.cat(rows, 1) for rows in zip(joined, constant, strict=False)), joined[-1]]


def layers(networks: Networks, x: Tensor) -> list[Layer]:
    """The hidden layers of networks on samples, lowest first.

    x: samples, (S or 1, n_in, N). Raises ValueError as :func:`augmented` does.
    """
    matrices = augmented(networks)
    hidden = [with_constant(f).transpose(1, 2) for f in networks.activations(x)[:-1]]
    gates = [(f > 0).to(f.dtype) for f in hidden]
    seeds, samples = hidden[0].shape[:2]
    output_map = matrices[-1].expand(seeds, -1, -1)[:, None]  # the same for every sample
    result = []
    for index in reversed(range(len(hidden))):
        result.append(Layer(hidden[index], gates[index], output_map))
        if index:
            gated = result[-1].gated_map.flatten(1, 2)  # (S, N · C, n + 1) x (S, n + 1, n_below + 1)
            output_map = (gated @ matrices[index]).unflatten(1, (samples, -1))
    return result[::-1]


def with_constant(f: Tensor) -> Tensor:
    """Nodes with the constant node added as the last, (S, n, N) -> (S, n + 1, N)."""
    return torch.cat([f, torch.ones_like(f[:, :1])], 1)


def modulation(student: Layer, teacher: Layer) -> Modulation:
    """β, β*, H and H* of a hidden layer for every sample."""
    beta, beta_star = (student.output_map.transpose(2, 3) @ layer.output_map for layer in (student, teacher))
    return Modulation(beta, beta_star, student.gates, teacher.gates)


def gradients(student: Layer, teacher: Layer, found: Modulation) -> Tensor:
    """The gradient g of each student node by the rule, (S, N, n): −∂(½ |y − y°|²) / ∂(the node's pre-activation).

    g_j = gate_j [Σ_k° β*_jk° f°_k° − Σ_k β_jk f_k], the constant nodes among k° and k (Lemma 1).
    found: the result of :func:`modulation` for the two layers.
    """
    target, own = (
        (matrix @ layer.activations[..., None])[..., 0]
        for matrix, layer in ((found.beta_star, teacher), (found.beta, student))
    )
    return (student.gates * (target - own))[..., :-1]


def in_parts(students: Networks, teachers: Networks, x: Tensor) -> Iterator[tuple[list[Layer], list[Layer]]]:
    """The hidden layers of students and teachers, as many samples at a time as there is room for.

    x: samples, (S or 1, n_in, N).
    """
    widest = max(students.widths[:-1] + teachers.widths[:-1]) + 1
    seeds = max(students.seeds, teachers.seeds, len(x))
    part = max(1, ROOM // (seeds * students.widths[-1] * widest))
    for samples in x.split(part, dim=2):
        yield layers(students, samples), layers(teachers, samples)


@dataclass
class Averages:
    """Means over samples for one hidden layer; the constant node is last on both axes.

    beta, h: of β and H, (S, n + 1, n + 1).
    beta_star, h_star: of β* and H*, (S, n + 1, n° + 1).
    moments, moments_star: L = E[f fᵀ], (S, n + 1, n + 1), and L* = E[f f°ᵀ], (S, n + 1, n° + 1).
    gates, gates_star: E[gate gateᵀ], (S, n + 1, n + 1), and E[gate gate°ᵀ], (S, n + 1, n° + 1).
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
    """The means over samples of every hidden layer, lowest first.

    x: samples, (S or 1, n_in, N).
    own: whether to compute β and H between students, whose cost grows with n²; otherwise they are empty, (S, 0, 0).
    """
    sums: list[dict[str, Tensor]] = []
    for student, teacher in in_parts(students, teachers, x):
        uppermost = len(student) - 1
        part = [
            _sums(*pair, own=own, constant_beta=layer == uppermost)
            for layer, pair in enumerate(zip(student, teacher, strict=True))
        ]
        sums = [{k: old[k] + new[k] for k in new} for old, new in zip(sums, part, strict=True)] if sums else part
    means = [{name: total / x.shape[2] for name, total in layer.items()} for layer in sums]
    left, right = augmented(students), augmented(teachers)
    above = {"": torch.eye(students.widths[-1], dtype=x.dtype, device=x.device)}
    above["_star"] = above[""]
    for index in reversed(range(len(means))):
        mean = means[index]
        for kind, matrices in (("", left), ("_star", right)):
            if not own and not kind:
                mean["beta"] = mean["h"] = left[0].new_zeros(len(left[0]), 0, 0)
                continue
            # β is linear in the H above, so that the mean of β follows from the mean of that H.
            mean[f"beta{kind}"] = left[index + 1].transpose(1, 2) @ above[kind] @ matrices[index + 1]
            if index == len(means) - 1:
                # Below the output β is the same for every sample: the mean of H is β times the mean of the gates.
                mean[f"h{kind}"] = mean[f"beta{kind}"] * mean[f"gates{kind}"]
            above[kind] = mean[f"h{kind}"]
    return [Averages(**mean) for mean in means]


def _sums(student: Layer, teacher: Layer, *, own: bool, constant_beta: bool) -> dict[str, Tensor]:
    """Sums over samples of a layer's means; without H and H* if β is the same for all samples.

    own: whether to sum H; constant_beta: whether β is the same for all samples.
    """
    pairs = {
        "moments": (student.activations, student.activations),
        "moments_star": (student.activations, teacher.activations),
        "gates": (student.gates, student.gates),
        "gates_star": (student.gates, teacher.gates),
    }
    if not constant_beta:
        gated = [layer.gated_map.flatten(1, 2) for layer in (student, teacher)]
        pairs |= {"h_star": tuple(gated)} | ({"h": (gated[0], gated[0])} if own else {})
    # (S, n + 1, N or N · C) x (S, N or N · C, n + 1)
    return {name: left.transpose(1, 2) @ right for name, (left, right) in pairs.items()}


def matrix_form(
    students: Networks, teachers: Networks, x: Tensor, found: list[Averages]
) -> list[tuple[Tensor, Tensor]]:
    """The two terms of each hidden layer's averaged weight gradient, as products of averages with H = E[H(x)].

    The teacher's term is (L*_below W°ᵀ H*ᵀ)ᵀ, the students' own (L_below Wᵀ Hᵀ)ᵀ. The gradient is the first minus the
    second (paper, Section 4). Both are (S, n, n_below + 1), the bias in the last column.
    x: samples, (S or 1, n_in, N); found: the result of :func:`averages`.
    """
    return _matrix_form(students, teachers, x, found, [(layer.h, layer.h_star) for layer in found])


def recursive_matrix_form(
    students: Networks, teachers: Networks, x: Tensor, found: list[Averages]
) -> list[tuple[Tensor, Tensor]]:
    """The two terms of :func:`matrix_form` where H is a product of averages too, top down.

    H = E[gate gateᵀ] ∘ (Wᵀ H_above W), and H* likewise.
    """
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
    """The terms of :func:`matrix_form`; pairs: H and H* of each hidden layer."""
    inputs = with_constant(x)
    lowest = inputs @ inputs.transpose(1, 2) / x.shape[2]
    below = [(lowest, lowest), *((layer.moments, layer.moments_star) for layer in found[:-1])]
    result = []
    for (h, h_star), (moments, moments_star), own, target in zip(
        pairs, below, augmented(students), augmented(teachers), strict=False
    ):
        terms = h_star @ target @ moments_star.transpose(1, 2), h @ own @ moments
        result.append(tuple(term[:, :-1] for term in terms))  # without the constant node, which has no weights
    return result


def gradient_of_weights(g: Tensor, below: Tensor) -> Tensor:
    """The averaged gradient of a layer's weights, E[g fᵀ], (S, n, n_below + 1).

    g: the gradient of the nodes, (S, N, n); below: the activations f that the layer reads, (S, N, n_below + 1).
    """
    return g.transpose(1, 2) @ below / g.shape[1]
