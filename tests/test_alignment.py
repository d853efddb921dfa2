"""Matching, order and dominance on constructed matrices with known answers."""

import itertools

import pytest
import torch

from luckmatters.science.alignment import dominance, leads, match, order, share


def test_match_finds_the_best_students_where_they_differ() -> None:
    rho = torch.tensor([[[0.1, 0.9, 0.2], [0.8, 0.3, 0.4]], [[0.5, 0.1, 0.7], [0.2, 0.6, 0.1]]])
    assert match(rho).tolist() == [[1, 0], [2, 1]] == rho.argmax(2).tolist()


def test_match_gives_no_student_twice_and_the_greatest_sum() -> None:
    rho = torch.rand(4, 3, 5, generator=torch.Generator().manual_seed(0))
    for one, chosen in zip(rho, match(rho).tolist(), strict=True):
        best = max(itertools.permutations(range(5), 3), key=lambda p: sum(one[i, j] for i, j in enumerate(p)).item())
        assert tuple(chosen) == best


def test_order_puts_matched_students_first_and_keeps_everyone() -> None:
    assert order(torch.tensor([[3, 0], [1, 4]]), 5).tolist() == [[3, 0, 1, 2, 4], [1, 4, 0, 2, 3]]


def test_dominance_is_diagonal_over_off_diagonal_of_the_nodes_used() -> None:
    block = torch.tensor([[[-4.0, 1, 9], [3, 2, 9], [9, 9, 9]]])
    used = torch.tensor([[True, True, False]])
    assert dominance(block, used).item() == pytest.approx(3 / 2)
    assert dominance(torch.ones(1, 4, 4), torch.ones(1, 4, dtype=torch.bool)).item() == 1
    assert dominance(block, torch.tensor([[True, False, False]])).isnan().all()


def test_share_and_lead_are_of_all_students() -> None:
    matrix = torch.tensor([[[1.0, 0], [-3, 0], [2, 0]]])  # three students, two teacher nodes, the second without mass
    assert share(matrix, torch.tensor([[2, 0]]))[0, 0].item() == pytest.approx(2 / 6)
    assert share(matrix, torch.tensor([[2, 0]]))[0, 1].isnan()
    assert leads(matrix, torch.tensor([[1, 0]])).tolist() == [[True, True]]
    assert leads(matrix, torch.tensor([[2, 0]]))[0, 0].item() is False


def test_renumbering_students_changes_no_number() -> None:
    draw = torch.Generator().manual_seed(1)
    rho, matrix = torch.rand(2, 3, 7, generator=draw), torch.randn(2, 7, 3, generator=draw)
    permutation = torch.randperm(7, generator=draw)
    first, second = match(rho), match(rho[:, :, permutation])
    assert torch.equal(permutation[second], first)
    torch.testing.assert_close(share(matrix[:, permutation], second), share(matrix, first))
    assert torch.equal(leads(matrix[:, permutation], second), leads(matrix, first))
