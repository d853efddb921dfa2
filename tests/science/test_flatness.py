"""Groups, changes and distances, on a student that copies its teacher and has other nodes without fan-out."""

import numpy as np
import pytest
import torch
from builders import draw

from luckmatters.science.alignment import fan_in_cosine
from luckmatters.science.flatness import (
    changed,
    fan_in,
    groups,
    moved,
    over_group,
    random_changes,
    start_distance,
    teacher_distances,
)
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.overlap import Overlap
from luckmatters.science.pruning import _reorder
from luckmatters.science.teachers import draw_teachers

SEEDS, WIDTHS = [0, 3], [4, 6, 5]
HIDDEN = range(len(WIDTHS) - 1)
TEACHERS = draw_teachers((5,), WIDTHS, init="separated", seeds=SEEDS)
TEACHERS = TEACHERS.to(torch.float64)
X = draw((2, 5, 500))


def copied(teachers: Networks, times: int = 3) -> Networks:
    """Students whose first nodes of each layer are the teacher's; all others have a random fan-in and no fan-out."""
    widths = [times * width for width in teachers.widths[:-1]] + teachers.widths[-1:]
    student = initialize_students((5,), widths, seeds=SEEDS, dtype=torch.float64)
    for layer, (weight, bias) in enumerate(zip(student.weights, student.biases, strict=True)):
        theirs = teachers.weights[layer]
        copies, below = theirs.shape[1:]
        if layer:
            weight[:, :, below:] = 0  # no fan-out
        weight[:, :copies] = 0
        weight[:, :copies, :below] = theirs
        bias[:, :copies] = teachers.biases[layer]
    return student


def permuted(student: Networks, orders: list[torch.Tensor]) -> Networks:
    """The same functions with the hidden nodes of every layer in another order."""
    weights = _reorder(student.weights, orders)
    biases = [bias.gather(1, order[..., None]) for bias, order in zip(student.biases, orders, strict=False)]
    return Networks([*weights], [*biases, student.biases[-1]], [])


def overlaps(student: Networks) -> list[Overlap]:
    found = []
    for theirs, ours in list(zip(TEACHERS.activations(X), student.activations(X), strict=True))[:-1]:
        found.append(Overlap())
        found[-1].add(theirs, ours)
    return found


STUDENT = copied(TEACHERS)
LIVE = [overlap.live() for overlap in overlaps(STUDENT)]
ORDERS = [
    torch.stack([torch.randperm(3 * n, generator=torch.Generator().manual_seed(seed)) for seed in SEEDS])
    for n in WIDTHS[:-1]
]


def test_the_copy_computes_what_the_teacher_computes() -> None:
    torch.testing.assert_close(STUDENT(X), TEACHERS(X))


def test_copies_of_live_teacher_nodes_are_lucky_and_nodes_without_fan_out_are_irrelevant() -> None:
    found = groups(TEACHERS, STUDENT, X)
    for layer, width in enumerate(WIDTHS[:-1]):
        lucky, irrelevant = found["lucky"].layers[layer], found["irrelevant"].layers[layer]
        assert (lucky.sum(1) == width).all()
        assert (irrelevant.sum(1) == width).all()
        assert (lucky * irrelevant == 0).all()
        assert (lucky[:, :width][LIVE[layer]] == 1).all()
        assert (irrelevant[:, :width] == 0).all()


def test_any_change_of_nodes_without_fan_out_moves_nothing_and_a_change_of_copies_does() -> None:
    found, before = groups(TEACHERS, STUDENT, X), STUDENT(X)
    for layer in HIDDEN:
        change = random_changes(STUDENT, layer, [np.random.default_rng(seed) for seed in SEEDS])
        for radius in (0.1, 10.0):
            after = {
                g: changed(STUDENT, layer, radius * m.layers[layer][..., None] * change)(X) for g, m in found.items()
            }
            assert torch.equal(after["irrelevant"], before)
            assert (moved(before, after["lucky"]) > 1e-4).all()


def test_changes_are_as_long_as_the_fan_in_and_those_of_a_seed_do_not_depend_on_others() -> None:
    together = random_changes(STUDENT, 1, [np.random.default_rng(seed) for seed in SEEDS])
    alone = random_changes(STUDENT.select([1]), 1, [np.random.default_rng(SEEDS[1])])
    torch.testing.assert_close(together[1:], alone)
    torch.testing.assert_close(together.norm(dim=2), fan_in(STUDENT, 1).norm(dim=2))
    half = changed(STUDENT, 1, 0.5 * together)
    torch.testing.assert_close(fan_in(half, 1), fan_in(STUDENT, 1) + 0.5 * together)
    assert torch.equal(half.weights[0], STUDENT.weights[0])


def test_moved_is_the_change_over_the_variance_output_by_output() -> None:
    before, after = draw((2, 3, 50), 1), draw((2, 3, 50), 2)
    for seed, value in enumerate(moved(before, after)):
        change = ((after[seed] - before[seed]) ** 2).numpy().mean()
        assert float(value) == pytest.approx(change / np.mean([output.var() for output in before[seed].numpy()]))


def test_copies_have_distance_0_to_a_teacher_node_and_every_distance_is_that_of_a_loop() -> None:
    gathered = overlaps(STUDENT)
    for layer, found in enumerate(teacher_distances(TEACHERS, STUDENT, gathered)):
        assert found[:, : WIDTHS[layer]][LIVE[layer]].abs().max() < 1e-6
    lowest = teacher_distances(TEACHERS, STUDENT, gathered)[0]
    for seed in range(2):
        theirs, ours = TEACHERS.weights[0][seed][LIVE[0][seed]].numpy(), STUDENT.weights[0][seed].numpy()
        cosine = theirs @ ours.T / np.outer(np.linalg.norm(theirs, axis=1), np.linalg.norm(ours, axis=1))
        np.testing.assert_allclose(lowest[seed], 1 - cosine.max(0), rtol=1e-6, atol=1e-9)
    aligned = {"below": gathered[0].substitution(), "live": LIVE[0]}
    best = gathered[1].best()[1]
    cosine = fan_in_cosine(TEACHERS.weights[1], STUDENT.weights[1], best, **aligned)
    closest = teacher_distances(TEACHERS, STUDENT, gathered)[1].gather(1, best)
    assert (closest <= 1 - cosine + 1e-9)[LIVE[1]].all()


def test_the_distance_from_the_start_is_0_without_training_and_2_for_turned_weights() -> None:
    turned = Networks([-weight for weight in STUDENT.weights], STUDENT.biases, [])
    torch.testing.assert_close(start_distance(STUDENT, STUDENT, 1), torch.zeros(2, 18, dtype=torch.float64))
    torch.testing.assert_close(start_distance(STUDENT, turned, 1), torch.full((2, 18), 2.0, dtype=torch.float64))


def test_permutations_of_nodes_change_nothing() -> None:
    """Student nodes in another order: the groups and distances are those of the same nodes."""
    student = initialize_students((5,), [12, 18, 5], seeds=SEEDS, dtype=torch.float64)
    other = permuted(student, ORDERS)
    torch.testing.assert_close(other(X), student(X))
    ours, theirs = groups(TEACHERS, student, X), groups(TEACHERS, other, X)
    distances = [teacher_distances(TEACHERS, one, overlaps(one)) for one in (student, other)]
    for layer in HIDDEN:
        for group in ours:
            assert torch.equal(ours[group].layers[layer].gather(1, ORDERS[layer]), theirs[group].layers[layer])
        torch.testing.assert_close(distances[0][layer].gather(1, ORDERS[layer]), distances[1][layer])


def test_means_are_those_over_the_group_alone() -> None:
    values, group = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[0.0, 1.0, 1.0]])
    assert over_group(values, group).tolist() == [3.0]
