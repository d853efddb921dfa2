"""ρ, ρ̄ and ranks against pandas and naive loops."""

import numpy as np
import pandas as pd
import pytest
import torch
from oracle import correlation, overlap

from luckmatters.science.overlap import Overlap, rank


def activations(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).relu()


def test_correlation_equals_pandas() -> None:
    teacher, student = activations(2, 3, 200, seed=0), activations(2, 5, 200, seed=1) * 1000 + 7
    rho = correlation(teacher, student)
    assert rho.shape == (2, 3, 5)
    for seed in range(2):
        table = pd.DataFrame(torch.cat([teacher[seed], student[seed]]).T.numpy()).corr()
        np.testing.assert_allclose(rho[seed], table.iloc[:3, 3:], atol=1e-12)


def test_a_copied_node_has_correlation_one_and_a_constant_one_zero() -> None:
    teacher = activations(1, 2, 300, seed=0).float()
    student = torch.stack([3 * teacher[0, 1] + 5, torch.full((300,), 0.1), -teacher[0, 0]])[None]
    rho = correlation(teacher, student)
    assert rho[0, 1, 0].item() == pytest.approx(1, abs=1e-6)
    assert rho[0, :, 1].tolist() == [0, 0]
    assert rho[0, 0, 2].item() == pytest.approx(-1, abs=1e-6)


def test_dead_teacher_nodes_count_as_zero_and_are_counted() -> None:
    teacher, student = activations(2, 4, 100, seed=0), activations(2, 6, 100, seed=1)
    teacher[1, 2] = 0
    student[0, :3] = 1.5
    found = overlap(teacher, student).measure()
    assert found.dead_teachers.tolist() == [0, 1]
    assert found.dead_students.tolist() == [3, 0]
    assert found.best[1, 2] == 0


def test_best_and_second_equal_sorting() -> None:
    teacher, student = activations(3, 4, 100, seed=2), activations(3, 6, 100, seed=3)
    rho, found = correlation(teacher, student).numpy(), overlap(teacher, student).measure()
    ordered = np.sort(rho, axis=2)
    np.testing.assert_allclose(found.best, ordered[..., -1])
    np.testing.assert_allclose(found.second, ordered[..., -2])
    np.testing.assert_array_equal(found.winner, rho.argmax(2))


def test_one_student_has_no_second() -> None:
    found = overlap(activations(1, 2, 50, seed=0), activations(1, 1, 50, seed=1)).measure()
    assert found.second.isnan().all()


def test_rank_counts_the_students_ahead_ties_included() -> None:
    rho = torch.tensor([[[0.3, 0.9, 0.3, -0.1], [0.0, 0.0, 0.0, 0.5]]])
    assert rank(rho).tolist() == [[[1, 0, 1, 3], [1, 1, 1, 0]]]
    random = torch.rand(2, 3, 40, generator=torch.Generator().manual_seed(0))
    naive = [[[sum(other > one for other in row) for one in row] for row in seed] for seed in random.tolist()]
    assert rank(random).tolist() == naive


def test_one_teacher_is_compared_with_every_seed() -> None:
    teacher, student = activations(1, 3, 80, seed=0).expand(2, -1, -1), activations(2, 5, 80, seed=1)
    found = overlap(teacher, student).measure()
    assert found.best.shape == (2, 3)
    torch.testing.assert_close(found.best[1:], overlap(teacher[:1], student[1:]).measure().best)


def test_parts_of_any_size_give_what_the_whole_does() -> None:
    """Means a thousand times the spread, in float32: sums of products would lose what the pairwise rule keeps."""
    teacher, student = activations(2, 3, 500, seed=0) + 1000, activations(2, 4, 500, seed=1) - 2000
    teacher[0, 1] = 7
    parts = Overlap()
    for start, end in ((0, 1), (1, 130), (130, 131), (131, 500)):
        parts.add(teacher[..., start:end].float(), student[..., start:end].float())
    torch.testing.assert_close(parts.correlation(), correlation(teacher, student).float(), rtol=0, atol=2e-4)
    assert parts.correlation()[0, 1].tolist() == [0] * 4
    assert parts.measure().dead_teachers.tolist() == [1, 0]
