"""Kind ``gradient-rule``: the paper's gradient rule against automatic differentiation, through training (Lemma 1)."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from luckmatters.learning.data import Data, select_teachers
from luckmatters.learning.students import snapshot
from luckmatters.science.modulation import (
    averages,
    gradient_of_weights,
    gradients,
    in_parts,
    matrix_form,
    modulation,
    recursive_matrix_form,
    with_constant,
)
from luckmatters.science.networks import Networks
from luckmatters.settings.experiment import Run
from luckmatters.tables.history import Result
from luckmatters.tables.rows import joined, rows

FORMS = {"matrix_form": matrix_form, "recursive_matrix_form": recursive_matrix_form}


def measure(run: Run, teachers: Networks, data: Data, tensors: dict[str, Tensor], seeds: Sequence[int]) -> Result:
    """Gradients by the rule and by autograd on evaluation samples, in float64, at every saved epoch of a training run.

    teachers, data, tensors: the training run's teacher file, samples and saved tensors.
    Table: columns seed, epoch, layer, quantity, value. Quantities: residual, |predicted − true| / |true| over all nodes
    and samples of a layer. For matrix_form and recursive_matrix_form also cosine and norm_ratio, between the gradient
    of the form and the averaged gradient of the layer's weights, and teacher_cosine, between the teacher's terms alone.
    Tensors: predicted and true ``/<epoch>/<layer>`` (S, n), each node's gradient averaged over samples.
    """
    trained = run.source.settings
    teachers = select_teachers(run.source, teachers, seeds).folded().to(torch.float64)
    x, _ = data.evaluation_set(seeds, run.settings.samples)
    x = x.double()
    frames, kept = [], {}
    for epoch in sorted({0, *trained.training.snapshots, trained.training.epochs}):
        students = snapshot(tensors, epoch).to(torch.float64)
        true, target = autograd(students, teachers, x)
        below = [with_constant(x), *(with_constant(f) for f in students.activations(x)[:-1])]
        means = averages(students, teachers, x)
        forms = {name: form(students, teachers, x, means) for name, form in FORMS.items()}
        for layer, ours in enumerate(predicted(students, teachers, x)):
            theirs = true[layer]
            values = {"residual": (ours - theirs).norm(dim=(1, 2)) / theirs.norm(dim=(1, 2))}
            weights, target_weights = (
                gradient_of_weights(g, below[layer].transpose(1, 2)) for g in (theirs, target[layer])
            )
            for name, form in forms.items():
                teacher_term, own_term = form[layer]
                values |= {f"{name}_{key}": value for key, value in agreement(teacher_term - own_term, weights).items()}
                values[f"{name}_teacher_cosine"] = agreement(teacher_term, target_weights)["cosine"]
            frames += [rows(name, value, layer, epoch=[epoch], seed=seeds) for name, value in values.items()]
            kept |= {f"predicted/{epoch}/{layer}": ours.mean(1), f"true/{epoch}/{layer}": theirs.mean(1)}
    return Result(joined(frames), kept)


def predicted(students: Networks, teachers: Networks, x: Tensor) -> Iterator[Tensor]:
    """Gradients (S, N, n) of each hidden layer by the rule, lowest layer first.

    β and β* of single samples are computed for a part of the samples at a time.
    """
    parts = [
        [gradients(student, teacher, modulation(student, teacher)) for student, teacher in zip(*pair, strict=True)]
        for pair in in_parts(students, teachers, x)
    ]
    yield from (torch.cat(layer, 1) for layer in zip(*parts, strict=True))


def autograd(students: Networks, teachers: Networks, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients by automatic differentiation, −∂(½ |y − y°|²) / ∂(pre-activation), and the teacher's term alone.

    The teacher's term is ∂(y · y°) / ∂(pre-activation). Both lowest layer first, each layer (S, N, n).
    """
    target, f, sums = teachers(x), x.expand(students.seeds, -1, -1), []
    for weight, bias in zip(students.weights, students.biases, strict=True):
        sums.append((weight @ f + bias).requires_grad_())
        f = sums[-1].relu()
    loss, product = 0.5 * (sums[-1] - target).square().sum(), (sums[-1] * target).sum()
    whole = torch.autograd.grad(-loss, sums[:-1], retain_graph=True)
    teacher = torch.autograd.grad(product, sums[:-1])
    return [g.transpose(1, 2) for g in whole], [g.transpose(1, 2) for g in teacher]


def agreement(predicted: Tensor, true: Tensor) -> dict[str, Tensor]:
    """Cosine between two gradients (S, n, n_below + 1) as vectors, and the ratio of both norms; each (S,)."""
    ours, theirs = predicted.flatten(1), true.flatten(1)
    norms = ours.norm(dim=1), theirs.norm(dim=1)
    return {"cosine": (ours * theirs).sum(1) / (norms[0] * norms[1]), "norm_ratio": norms[0] / norms[1]}
