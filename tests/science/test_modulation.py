"""The gradient rule against autograd, the paper's recursion written as a loop, and exact identities. All in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Module
from torch import Tensor

from luckmatters.science import modulation
from luckmatters.science.modulation import (
    augmented,
    averages,
    gradient_of_weights,
    gradients,
    in_parts,
    layers,
    matrix_form,
    recursive_matrix_form,
    with_constant,
)
from luckmatters.science.networks import Networks, initialize_students

INPUTS = 6


def networks(widths: list[int], seeds: list[int], *, bias: bool = True) -> Networks:
    made = initialize_students((INPUTS,), widths, seeds=seeds, dtype=torch.float64)
    return made if bias else Networks(made.weights, [torch.zeros_like(b) for b in made.biases], [])


def samples(sets: int, count: int) -> Tensor:
    return 3 * torch.randn(sets, INPUTS, count, dtype=torch.float64, generator=torch.Generator().manual_seed(count))


def autograd(students: Networks, teachers: Networks, x: Tensor) -> list[Tensor]:
    """Minus the derivative of ½ |y − y°|², summed over samples, by what each hidden node sums up; (S, N, n) a layer."""
    found = []
    target = teachers(x)
    for seed in range(students.seeds):
        sums, f = [], x[min(seed, len(x) - 1)]
        for index, (weight, bias) in enumerate(zip(students.weights, students.biases, strict=True)):
            z = (weight[seed] @ f + bias[seed]).requires_grad_()
            sums.append(z)
            f = z.relu() if index < len(students.weights) - 1 else z
        loss = 0.5 * (f - target[min(seed, len(target) - 1)]).square().sum()
        found.append([-g.T for g in torch.autograd.grad(loss, sums[:-1])])
    return [torch.stack(layer) for layer in zip(*found, strict=True)]


def predicted(students: Networks, teachers: Networks, x: Tensor) -> list[Tensor]:
    pairs = zip(layers(students, x), layers(teachers, x), strict=True)
    return [gradients(own, its, modulation.modulation(own, its)) for own, its in pairs]


shapes = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(hidden=shapes, outputs=st.integers(1, 6), bias=st.booleans(), count=st.integers(1, 12))
def test_the_gradient_rule_equals_autograd(hidden: list[tuple[int, int]], outputs: int, bias: bool, count: int) -> None:
    students = networks([*(n for n, _ in hidden), outputs], [0, 5], bias=bias)
    teachers = networks([*(n for _, n in hidden), outputs], [7], bias=bias)
    x = samples(1, count)
    for ours, theirs in zip(predicted(students, teachers, x), autograd(students, teachers, x), strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).norm() <= 1e-10 * theirs.norm()


STUDENTS, TEACHERS, X = networks([8, 10, 7, 4], [0, 3]), networks([2, 3, 4, 4], [1, 2]), samples(2, 30)


def test_output_maps_unroll_the_papers_recursion() -> None:
    found = [modulation.modulation(*pair) for pair in zip(layers(STUDENTS, X), layers(TEACHERS, X), strict=True)]
    for seed in range(2):
        own, its = ([w[seed] for w in augmented(one)] for one in (STUDENTS, TEACHERS))
        for sample in range(0, 30, 7):
            gates = []
            for matrices in (own, its):
                f, opened = torch.cat([X[seed, :, sample], torch.ones(1, dtype=X.dtype)]), []
                for matrix in matrices[:-1]:
                    f = (matrix @ f).relu()
                    opened.append((f > 0).double())
                gates.append(opened)
            h = h_star = torch.eye(4, dtype=X.dtype)
            for layer in (2, 1, 0):
                beta = own[layer + 1].T @ h @ own[layer + 1]
                beta_star = own[layer + 1].T @ h_star @ its[layer + 1]
                h = gates[0][layer][:, None] * beta * gates[0][layer]
                h_star = gates[0][layer][:, None] * beta_star * gates[1][layer]
                for name, value in {"beta": beta, "beta_star": beta_star, "h": h, "h_star": h_star}.items():
                    samples = getattr(found[layer], name)[seed]
                    torch.testing.assert_close(samples[sample if len(samples) > 1 else 0], value)


@pytest.mark.parametrize(("part", "parts"), [(7, 5), (1, 30), (29, 2)])  # with one sample left over, and one by one
def test_averages_are_means_over_samples_in_parts_of_any_size(
    part: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, its = layers(STUDENTS, X), layers(TEACHERS, X)
    monkeypatch.setattr(modulation, "ROOM", 2 * 4 * 11 * part)
    assert len(list(in_parts(STUDENTS, TEACHERS, X))) == parts
    for index, found in enumerate(averages(STUDENTS, TEACHERS, X)):
        single = modulation.modulation(own[index], its[index])
        for name in ("beta", "beta_star", "h", "h_star"):
            torch.testing.assert_close(getattr(found, name), getattr(single, name).mean(1))
        f, f_star = own[index].activations, its[index].activations
        torch.testing.assert_close(found.moments, torch.einsum("snj,snk->sjk", f, f) / 30)
        torch.testing.assert_close(found.moments_star, torch.einsum("snj,snk->sjk", f, f_star) / 30)
        torch.testing.assert_close(
            found.gates_star, torch.einsum("snj,snk->sjk", own[index].gates, its[index].gates) / 30
        )


def test_leaving_out_the_students_own_matrices_does_not_change_the_others() -> None:
    for whole, part in zip(averages(STUDENTS, TEACHERS, X), averages(STUDENTS, TEACHERS, X, own=False), strict=True):
        torch.testing.assert_close(part.beta_star, whole.beta_star)
        torch.testing.assert_close(part.h_star, whole.h_star)
        assert part.h.numel() == part.beta.numel() == 0


@pytest.mark.parametrize("form", [matrix_form, recursive_matrix_form])
def test_the_matrix_form_is_exact_for_a_single_sample(form) -> None:
    """The product of averages over one sample is the average of the product."""
    x = samples(1, 1)
    found = averages(STUDENTS, TEACHERS, x)
    below = [with_constant(x).transpose(1, 2), *(layer.activations for layer in layers(STUDENTS, x))]
    for index, g in enumerate(autograd(STUDENTS, TEACHERS, x)):
        expected = gradient_of_weights(g, below[index].expand(2, -1, -1))
        target, own = form(STUDENTS, TEACHERS, x, found)[index]
        torch.testing.assert_close(target - own, expected)


def test_the_matrix_form_differs_from_the_average_over_many() -> None:
    found = averages(STUDENTS, TEACHERS, X)
    below = [with_constant(X).transpose(1, 2), *(layer.activations for layer in layers(STUDENTS, X))]
    terms = [form(STUDENTS, TEACHERS, X, found)[0] for form in (matrix_form, recursive_matrix_form)]
    forms = [target - own for target, own in terms]
    true = gradient_of_weights(autograd(STUDENTS, TEACHERS, X)[0], below[0])
    distances = [(one - true).norm() / true.norm() for one in forms]
    assert all(distance > 0.01 for distance in distances)
    assert (forms[0] - forms[1]).norm() > 0.01 * true.norm()


def test_renumbering_students_renumbers_their_rows() -> None:
    order = torch.tensor([3, 1, 4, 0, 7, 5, 2, 6])
    weights, biases = list(STUDENTS.weights), list(STUDENTS.biases)
    weights[0], biases[0], weights[1] = weights[0][:, order], biases[0][:, order], weights[1][:, :, order]
    renumbered = averages(Networks(weights, biases, []), TEACHERS, X)[0]
    plain = averages(STUDENTS, TEACHERS, X)[0]
    torch.testing.assert_close(renumbered.h_star[:, :-1], plain.h_star[:, order])
    torch.testing.assert_close(renumbered.beta_star[:, :-1], plain.beta_star[:, order])


@pytest.mark.parametrize("place", ["after", "before"])
@pytest.mark.parametrize("kernel", [None, 3])
def test_folding_batch_norm_changes_no_output(kernel: int | None, place: str) -> None:
    shape = (INPUTS,) if kernel is None else (2, 8, 8)
    made = initialize_students(
        shape, [4, 5, 3, 6], seeds=[0, 1], kernel=kernel, batch_norm=True, place=place, dtype=torch.float64
    )
    draw = torch.Generator().manual_seed(1)
    for norm in made.norms:
        for field in vars(norm).values():
            field.copy_(torch.rand(field.shape, generator=draw, dtype=field.dtype) + 0.3)
        norm.weight[0, 1] *= -1
    x = torch.randn(2, 6 if kernel is None else 128, 9, generator=draw, dtype=torch.float64)
    folded = made.folded()
    assert not folded.norms
    for seed in range(2):
        torch.testing.assert_close(folded(x)[seed].T, Module(made, seed).eval()(x[seed].T).detach())


def test_the_rule_is_refused_where_it_is_not_stated() -> None:
    normed = initialize_students((INPUTS,), [4, 3], seeds=[0], batch_norm=True)
    conv = initialize_students((1, 6, 6), [4, 3], seeds=[0], kernel=3)
    for made in (normed, conv):
        with pytest.raises(ValueError, match="fully connected networks without BatchNorm"):
            augmented(made)
