"""ρ, ρ̄ and ranks against pandas and naive loops."""

import numpy as np
import pandas as pd
import pytest
import torch
from oracle import correlation, overlap

from luckmatters.science.overlap import Overlap, over_live, rank


def activations(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).relu()


def test_correlation_equals_pandas() -> None:
    teacher, student = activations(2, 3, 200, seed=0), activations(2, 5, 200, seed=1) * 1000 + 7
    rho = correlation(teacher, student)
    assert rho.shape == (2, 3, 5)
    for seed in range(2):
        table = pd.DataFrame(torch.cat([teacher[seed], student[seed]]).T.numpy()).corr()
        np.testing.assert_allclose(rho[seed], table.iloc[:3, 3:], atol=1e-12)


def test_a_copied_node_has_correlation_one_and_a_constant_node_zero() -> None:
    teacher = activations(1, 2, 300, seed=0).float()
    student = torch.stack([3 * teacher[0, 1] + 5, torch.full((300,), 0.1), -teacher[0, 0]])[None]
    rho = correlation(teacher, student)
    assert rho[0, 1, 0].item() == pytest.approx(1, abs=1e-6)
    assert rho[0, :, 1].tolist() == [0, 0]
    assert rho[0, 0, 2].item() == pytest.approx(-1, abs=1e-6)


def test_dead_nodes_are_known_and_have_no_correlation() -> None:
    teacher, student = activations(2, 4, 100, seed=0), activations(2, 6, 100, seed=1)
    teacher[1, 2] = 0
    student[0, :3] = 1.5
    found = overlap(teacher, student).measure()
    assert found.live.tolist() == [[True] * 4, [True, True, False, True]]
    assert found.dead_students.tolist() == [3, 0]
    assert found.best[1, 2] == 0
    assert over_live(found.best, found.live)[1].item() == pytest.approx(found.best[1, [0, 1, 3]].mean())
    assert over_live(found.best, torch.zeros_like(found.live)).isnan().all()


def test_best_and_second_best_equal_a_sort() -> None:
    teacher, student = activations(3, 4, 100, seed=2), activations(3, 6, 100, seed=3)
    rho, found = correlation(teacher, student).numpy(), overlap(teacher, student).measure()
    ordered = np.sort(rho, axis=2)
    np.testing.assert_allclose(found.best, ordered[..., -1])
    np.testing.assert_allclose(found.second, ordered[..., -2])
    np.testing.assert_array_equal(found.winner, rho.argmax(2))


def test_one_student_has_no_second() -> None:
    found = overlap(activations(1, 2, 50, seed=0), activations(1, 1, 50, seed=1)).measure()
    assert found.second.isnan().all()


def test_rank_counts_the_students_ahead_and_ties() -> None:
    rho = torch.tensor([[[0.3, 0.9, 0.3, -0.1], [0.0, 0.0, 0.0, 0.5]]])
    assert rank(rho).tolist() == [[[1, 0, 1, 3], [1, 1, 1, 0]]]
    random = torch.rand(2, 3, 40, generator=torch.Generator().manual_seed(0))
    naive = [[[sum(other > one for other in row) for one in row] for row in seed] for seed in random.tolist()]
    assert rank(random).tolist() == naive


def test_a_single_teacher_is_compared_with_every_seed() -> None:
    teacher, student = activations(1, 3, 80, seed=0).expand(2, -1, -1), activations(2, 5, 80, seed=1)
    found = overlap(teacher, student).measure()
    assert found.best.shape == (2, 3)
    torch.testing.assert_close(found.best[1:], overlap(teacher[:1], student[1:]).measure().best)


def test_overlap_from_parts_of_any_size_equals_overlap_from_the_whole() -> None:
    """Means a thousand times the spread, in float32: sums of products would lose what the pairwise rule keeps."""
    teacher, student = activations(2, 3, 500, seed=0) + 1000, activations(2, 4, 500, seed=1) - 2000
    teacher[0, 1] = 7
    parts = Overlap()
    for start, end in ((0, 1), (1, 130), (130, 131), (131, 500)):
        parts.add(teacher[..., start:end].float(), student[..., start:end].float())
    torch.testing.assert_close(parts.correlation(), correlation(teacher, student).float(), rtol=0, atol=2e-4)
    assert parts.correlation()[0, 1].tolist() == [0] * 4
    assert parts.measure().live.tolist() == [[True, False, True], [True] * 3]


def test_overlap_split_by_teacher_nodes_equals_overlap_of_each_half() -> None:
    teacher, student = activations(2, 6, 90, seed=0), activations(2, 5, 90, seed=1)
    for part, nodes in zip(overlap(teacher, student).split(), (teacher[:, :3], teacher[:, 3:]), strict=True):
        torch.testing.assert_close(part.correlation(), correlation(nodes, student))
        torch.testing.assert_close(part.substitution(), overlap(nodes, student).substitution())


def test_floor_is_the_best_correlation_with_another_node() -> None:
    teacher = activations(2, 4, 60, seed=0)
    found = overlap(teacher, teacher).floor()
    for seed in range(2):
        rho = np.corrcoef(teacher[seed])
        expected = [max(rho[j, k] for k in range(4) if k != j) for j in range(4)]
        np.testing.assert_allclose(found[seed], expected, atol=1e-12)
    assert overlap(teacher[:, :1], teacher[:, :1]).floor().isnan().all()


def test_live_students_are_closest_to_live_teacher_nodes() -> None:
    teacher = activations(1, 3, 80, seed=0)
    student = torch.stack([teacher[0, 1] - 5 * teacher[0, 2], -teacher[0].sum(0), torch.ones(80, dtype=torch.float64)])
    teacher[0, 0] = 2  # dead; its ρ of 0 is greater than the second student's with any other
    rho = np.corrcoef(torch.cat([teacher[0, 1:], student[:2]]))[:2, 2:]
    expected = [*(1 + rho.argmax(0)), -1]
    assert overlap(teacher, student[None]).closest().tolist() == [expected]
    assert (rho[:, 1] < 0).all()
    assert overlap(teacher[:, :1], student[None]).closest().tolist() == [[-1, -1, -1]]


def test_substitution_is_a_regression_on_the_closest_node() -> None:
    teacher = activations(1, 2, 5000, seed=0)
    student = torch.stack([0.7 * teacher[0, 1] + 3, 2 * teacher[0, 0] + 0.1 * teacher[0, 1], -teacher[0].sum(0)])[None]
    found = overlap(teacher, student).substitution()[0]
    slope = np.polyfit(teacher[0, 0], student[0, 1], 1)[0]
    expected = [[0, 0.7], [slope, 0], [0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-9)
