"""The matrix dynamics: against a naive loop, autograd, and the theory of two nodes."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from torch import Tensor

from luckmatters.science.dynamics import (
    Dynamics,
    counting_type,
    draw_students,
    draw_teacher,
    forward,
    normalize_columns,
    with_constant,
)
from luckmatters.science.random import generator
from luckmatters.science.two_nodes import convergence_time, open_together

STARTS = {2: [[1.0, 0.0], [1.0, 0.3], [0.3, 1.0]], 3: [[1.0, 0.0, 0.0], [1.0, 1.0, 0.5]]}


def draw(widths: list[int], multiplier: int, seeds: list[int], starts: list | None = None) -> tuple[list, list]:
    """Teachers and students of some seeds in float64."""
    teachers, students = [], []
    for seed in seeds:
        teacher = draw_teacher(widths, 0.1, generator=generator("test-teacher", seed))
        chosen = starts or STARTS[len(widths) - 1]
        teachers.append(teacher)
        students.append(draw_students(teacher, multiplier, chosen, generator=generator("test-students", seed)))
    return tuple([torch.stack(layer).double() for layer in zip(*nets, strict=True)] for nets in (teachers, students))


def batches(steps: int, seeds: int, batch: int, inputs: int, seed: int = 0) -> Tensor:
    x = np.random.default_rng(seed).standard_normal((steps, seeds, batch, inputs))
    return with_constant(torch.from_numpy(x))


def naive_step(x: np.ndarray, student: list[np.ndarray], teacher: list[np.ndarray], rate: float) -> list[np.ndarray]:
    """One step of one student as PAPER writes it, every matrix formed: dW = L* W* H*ᵀ − L W Hᵀ."""
    count = len(x)

    def activations(weights: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        inputs, gates = [x], []
        for weight in weights[:-1]:
            sums = inputs[-1] @ weight
            one = np.ones((count, 1))
            gates.append(np.concatenate([sums > 0, one], axis=1))
            inputs.append(np.concatenate([np.where(sums > 0, sums, 0), one], axis=1))
        return inputs, gates

    (ours, gates), (theirs, their_gates) = activations(student), activations(teacher)
    h = h_star = np.eye(student[-1].shape[1])
    changed = []
    for layer in reversed(range(len(student))):
        second, cross = ours[layer].T @ ours[layer] / count, ours[layer].T @ theirs[layer] / count
        delta = cross @ teacher[layer] @ h_star.T - second @ student[layer] @ h.T
        moved = student[layer] + rate * delta
        changed.insert(0, moved / np.sqrt((moved**2).sum(0)))
        if layer:
            beta, beta_star = student[layer] @ h @ student[layer].T, student[layer] @ h_star @ teacher[layer].T
            h = (beta * (gates[layer - 1].T @ gates[layer - 1]) / count)[:-1, :-1]
            h_star = (beta_star * (gates[layer - 1].T @ their_gates[layer - 1]) / count)[:-1, :-1]
    return changed


@pytest.mark.parametrize(("widths", "multiplier"), [([4, 5, 6], 2), ([4, 5, 6], 16), ([4, 5, 6, 3], 3)])
def test_the_batch_equals_a_naive_loop_over_runs_in_float64(widths: list[int], multiplier: int) -> None:
    teacher, students = draw(widths, multiplier, [0, 5])
    dynamics, x = Dynamics(students, teacher), batches(6, 2, 16, widths[0])
    dynamics.run(x, 0.05)
    for seed, start in itertools.product(range(2), range(len(STARTS[len(widths) - 1]))):
        one = [weight[seed, start].numpy() for weight in students]
        for step in range(len(x)):
            one = naive_step(x[step, seed].numpy(), one, [weight[seed].numpy() for weight in teacher], 0.05)
        for layer, expected in zip(dynamics.layers, one, strict=True):
            np.testing.assert_allclose(layer[seed, start].numpy(), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("widths", [[4, 5, 6], [4, 5, 6, 3]])
def test_the_accurate_gradient_equals_autograds(widths: list[int]) -> None:
    teacher, students = draw(widths, 3, [0, 1])
    x, rate = batches(1, 2, 16, widths[0]), 0.05
    dynamics = Dynamics(students, teacher, accurate=True)
    dynamics.run(x, rate)
    weights = [weight.clone().requires_grad_() for weight in students]
    error = (
        forward(weights, x[0][:, None], torch.double).sums[-1] - forward(teacher, x[0], torch.double).sums[-1][:, None]
    )
    (error.square().sum((2, 3)) / (2 * x.shape[2])).sum().backward()
    for layer, weight in zip(dynamics.layers, weights, strict=True):
        expected = normalize_columns((weight - rate * weight.grad).detach())
        torch.testing.assert_close(layer, expected, rtol=0, atol=1e-14)


def test_matrix_form_is_exact_for_one_sample_but_for_biases_above() -> None:
    """As published, H leaves the constant node out on its way down, and with it the difference of the biases above."""
    teacher, students = draw([4, 5, 6, 3], 2, [3])
    for equal_above in (True, False):
        if equal_above:
            for weights in (teacher, students):
                weights[1:] = [
                    torch.cat([w[..., :-1, :], torch.zeros_like(w[..., -1:, :])], dim=-2) for w in weights[1:]
                ]
        else:
            teacher, students = draw([4, 5, 6, 3], 2, [3])
        one, other = (Dynamics(students, teacher, accurate=accurate) for accurate in (False, True))
        for dynamics in (one, other):
            dynamics.run(batches(1, 1, 1, 4), 0.1)
        same = [torch.allclose(*pair, rtol=0, atol=1e-13) for pair in zip(one.layers, other.layers, strict=True)]
        assert same == [equal_above, equal_above, True]


@pytest.mark.parametrize("accurate", [False, True])
def test_students_equal_to_the_teacher_do_not_change(accurate: bool) -> None:
    teacher = [normalize_columns(weight) for weight in draw([4, 5, 6, 3], 2, [0])[0]]  # to float64's precision
    dynamics = Dynamics([weight[:, None] for weight in teacher], teacher, accurate=accurate)
    dynamics.run(batches(20, 1, 16, 4), 0.1)
    for layer, weight in zip(dynamics.layers, teacher, strict=True):
        torch.testing.assert_close(layer[:, 0], weight, rtol=0, atol=1e-14)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), accurate=st.booleans(), depth=st.sampled_from([2, 3]))
def test_permuting_student_nodes_permutes_the_result(seed: int, accurate: bool, depth: int) -> None:
    widths = [4, 5, 6, 3][: depth + 1]
    teacher, students = draw(widths, 2, [seed])
    stream = np.random.default_rng(seed)
    orders = [torch.from_numpy(stream.permutation(weight.shape[3])) for weight in students[:-1]]

    def permuted(weights: list[Tensor]) -> list[Tensor]:
        found = list(weights)
        for layer, order in enumerate(orders):
            rows = torch.cat([order, torch.tensor([len(order)])])  # the bias row stays last
            found[layer], found[layer + 1] = found[layer][..., order], found[layer + 1][:, :, rows]
        return found

    straight, mixed = (Dynamics(start, teacher, accurate=accurate) for start in (students, permuted(students)))
    for dynamics in (straight, mixed):
        dynamics.run(batches(4, 1, 16, 4, seed), 0.05)
    for one, other in zip(permuted(straight.layers), mixed.layers, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_a_seed_and_a_start_alone_follow_the_same_path_as_in_a_batch() -> None:
    teacher, students = draw([6, 5, 4], 3, [0, 1, 2])
    teacher, students = ([weight.float() for weight in weights] for weights in (teacher, students))
    x = batches(30, 3, 64, 6).float()
    together = Dynamics(students, teacher)
    together.run(x, 0.05)
    alone = Dynamics([weight[1:2, 2:3] for weight in students], [weight[1:2] for weight in teacher])
    alone.run(x[:, 1:2], 0.05)
    for one, other in zip(together.layers, alone.layers, strict=True):
        torch.testing.assert_close(one[1:2, 2:3], other, rtol=0, atol=2e-6)


def test_frozen_layers_stay_and_the_input_state_is_not_changed() -> None:
    teacher, students = draw([4, 5, 6, 3], 2, [0])
    before = [weight.clone() for weight in students]
    dynamics = Dynamics(students, teacher, frozen=[1])
    dynamics.run(batches(3, 1, 16, 4), 0.1)
    moved = [not torch.equal(one, other) for one, other in zip(dynamics.layers, before, strict=True)]
    assert moved == [True, False, True]
    assert all(torch.equal(one, other) for one, other in zip(students, before, strict=True))


def test_the_type_that_counts_gates_is_exact() -> None:
    """Counts of gates are exact whole numbers in the type that the machine uses for 64 samples."""
    gates = torch.from_numpy(np.random.default_rng(0).random((3, 64, 200)) < 0.7)
    kind = counting_type("cpu", 64)
    expected = torch.bmm(gates.double().mT, gates.double())
    assert torch.equal(torch.bmm(gates.to(kind).mT, gates.to(kind)).double(), expected)
    assert counting_type("cpu", 257) == counting_type("cuda", 64) == torch.float32


def test_teachers_and_students_are_drawn_as_published() -> None:
    teacher = draw_teacher([10, 20, 30], 0.1, generator=generator("t", 0))
    for weight, (n_in, n_out) in zip(teacher, ((10, 20), (20, 30)), strict=True):
        assert weight.shape == (n_in + 1, n_out)
        torch.testing.assert_close(weight.norm(dim=0), torch.ones(n_out))
        grid = weight[:-1] / weight[-1] * -0.1  # the bias row is −0.1 before columns are normalized
        assert {round(value, 4) for value in grid.flatten().tolist()} <= {-0.5, -0.25, 0.0, 0.25, 0.5}
        assert len({tuple(column) for column in grid.T.round(decimals=4).tolist()}) == n_out
    plain, mixed = draw_students(teacher, 5, [[0.0, 0.0], [1.0, 0.3]], generator=generator("s", 0))[1]
    torch.testing.assert_close(plain.norm(dim=0), torch.ones(30))
    added = torch.zeros(101, 30)
    added[:20], added[-1] = teacher[1][:-1], teacher[1][-1]
    torch.testing.assert_close(mixed, (plain + 0.3 * added) / (plain + 0.3 * added).norm(dim=0))


def test_starting_levels_equal_the_published_levels() -> None:
    """(1, 1) at m = 5: 0.9396 and 0.384, read off to 0.001; over 64 seeds the mean is known to 0.0015."""
    norms = []
    for seed in range(64):
        teacher = draw_teacher([10, 20, 30], 0.1, generator=generator("t", seed))
        top = draw_students(teacher, 5, [[1.0, 1.0]], generator=generator("s", seed))[1][0]
        norms.append(top[:-1].norm(dim=1))
    mean = torch.stack(norms)
    assert mean[:, :20].mean().item() == pytest.approx(0.9396, abs=0.006)
    assert mean[:, 20:].mean().item() == pytest.approx(0.384, abs=0.005)


def test_bad_starts_and_impossible_teachers_are_refused() -> None:
    teacher = draw_teacher([4, 5, 6], 0.1, generator=generator("t", 0))
    with pytest.raises(ValueError, match="each start needs 2 numbers"):
        draw_students(teacher, 2, [[1.0, 0.0], [1.0]], generator=generator("s", 0))
    with pytest.raises(ValueError, match="cannot all differ"):
        draw_teacher([1, 5], 0.1, generator=generator("t", 0))


@pytest.mark.parametrize("cosine", [-0.95, -0.3, 0.0, 0.5, 0.89])
@pytest.mark.parametrize("target", [0.9, 0.95])
def test_the_predicted_time_is_the_integral(cosine: float, target: float) -> None:
    expected, _ = quad(lambda angle: 1 / (open_together(angle) * np.sin(angle)), np.arccos(target), np.arccos(cosine))
    assert convergence_time(np.array(cosine), target) == pytest.approx(expected, rel=1e-8)


def test_a_node_at_the_target_needs_no_time_and_a_target_of_one_is_refused() -> None:
    assert convergence_time(np.array([0.97, 1.0, 0.9]), 0.9).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="lies between"):
        convergence_time(np.array([0.0]), 1.0)


@pytest.mark.parametrize("cosine", [-0.6, 0.0, 0.7])
def test_both_gradients_turn_a_node_as_derived(cosine: float) -> None:
    """By simulation of 400,000 samples: the part of the update across w is h*(θ) sin θ, for both gradients."""
    x = np.random.default_rng(0).standard_normal((400_000, 3))
    w, w_star = np.array([1.0, 0, 0]), np.array([cosine, np.sqrt(1 - cosine**2), 0])
    gate, gate_star = x @ w > 0, x @ w_star > 0
    angle = np.arccos(cosine)
    expected = open_together(angle) * np.sin(angle)
    accurate = (x * (gate * (np.maximum(x @ w_star, 0) - np.maximum(x @ w, 0)))[:, None]).mean(0)
    matrix = (x.T @ x / len(x)) @ (w_star * (gate & gate_star).mean() - w * gate.mean())
    assert accurate[1] == pytest.approx(expected, abs=0.004)  # four standard errors
    assert matrix[1] == pytest.approx(expected, abs=0.004)
