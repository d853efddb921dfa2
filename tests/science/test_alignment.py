"""Matching, order and dominance on constructed matrices with known answers."""

import itertools
import math

import pytest
import torch

from luckmatters.science.alignment import dominance, fan_in_cosine, leads, match, order, share
from luckmatters.science.networks import Networks
from luckmatters.science.overlap import Overlap
from luckmatters.science.teachers import draw_teachers


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


def test_dominance_is_diagonal_over_off_diagonal_of_used_nodes() -> None:
    block = torch.tensor([[[-4.0, 1, 9], [3, 2, 9], [9, 9, 9]]])
    used = torch.tensor([[True, True, False]])
    assert dominance(block, used).item() == pytest.approx(3 / 2)
    assert dominance(torch.ones(1, 4, 4), torch.ones(1, 4, dtype=torch.bool)).item() == 1
    assert dominance(block, torch.tensor([[True, False, False]])).isnan().all()


def test_share_and_lead_compare_with_all_students() -> None:
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


SHAPES = pytest.mark.parametrize("shape", [((6,), None), ((2, 9, 9), 3)], ids=["fully-connected", "convolutional"])


def cosines(teachers: Networks, students: Networks, x: torch.Tensor) -> list[torch.Tensor]:
    """Of every hidden layer, (S, n°)."""
    found, below = [], {}
    for layer, pair in enumerate(zip(teachers.activations(x)[:-1], students.activations(x)[:-1], strict=True)):
        overlap = Overlap()
        overlap.add(*pair)
        weights = teachers.weights[layer], students.weights[layer]
        found.append(fan_in_cosine(*weights, overlap.best()[1], **below))
        below = {"below": overlap.substitution(), "live": overlap.live()}
    return found


def drawn(shape: tuple, seed: int, widths: tuple[int, ...] = (5, 4, 6)) -> tuple[Networks, torch.Tensor]:
    """Two random networks with a few dead nodes, and samples."""
    inputs, kernel = shape
    networks = draw_teachers(inputs, [*widths, 7], init="separated", seeds=[seed, seed + 1], kernel=kernel)
    networks.biases[0][0, 1] = -1e3
    networks.biases[1][1, 2] = -1e3
    return networks.to(torch.float64), torch.randn(
        2, math.prod(inputs), 300, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@SHAPES
def test_a_copied_teacher_is_recognized_if_nodes_are_renumbered_scaled_or_split(shape: tuple) -> None:
    teachers, x = drawn(shape, 0)
    copy = teachers.to(torch.float64)
    weights, biases = copy.weights, copy.biases
    order = torch.tensor([3, 0, 4, 2, 1])
    weights[0], biases[0], weights[1] = weights[0][:, order], biases[0][:, order], weights[1][:, :, order]
    weights[1][:, 1] *= 4.0
    biases[1][:, 1] *= 4.0
    weights[2][:, :, 1] /= 4.0
    # The second layer's node 3 becomes two nodes, of which each has half of the fan-out.
    weights[1], biases[1] = (torch.cat([one, one[:, 3:]], 1) for one in (weights[1], biases[1]))
    half = weights[2][:, :, 3:] / 2
    weights[2] = torch.cat([weights[2][:, :, :3], half, half], 2)
    for layer, (found, its) in enumerate(zip(cosines(teachers, copy, x), teachers.activations(x), strict=False)):
        live = its.std(2) > 0
        assert live.any(1).all()
        # Random inputs tell layers apart that live nodes alone read; those of a dead node are never seen.
        torch.testing.assert_close(found[live], torch.ones_like(found[live]), msg=f"layer {layer}")


@SHAPES
def test_cosine_equals_a_naive_loop(shape: tuple) -> None:
    teachers, x = drawn(shape, 0)
    students, _ = drawn(shape, 2, (9, 8, 7))
    found = cosines(teachers, students, x)
    for seed in range(2):
        known, below = [one[seed] for one in teachers.activations(x)], None
        for layer, ours in enumerate(students.activations(x)[:-1]):
            nodes, its = len(known[layer]), torch.cat([known[layer], ours[seed]])
            rho, spread = its.corrcoef().nan_to_num(0)[:nodes, nodes:], its.std(1)
            for j in range(nodes):
                wanted = teachers.weights[layer][seed, j].reshape(teachers.weights[layer].shape[2], -1).clone()
                had = students.weights[layer][seed, int(rho[j].argmax())]
                had = had.reshape(len(had), -1)
                if below is not None:
                    read = torch.zeros_like(wanted)
                    rho_below, its_spread, our_spread = below
                    for i in range(len(had)):
                        alive = [k for k in range(len(wanted)) if its_spread[k] > 0]
                        k = max(alive, key=lambda k: rho_below[k, i].item())
                        if our_spread[i] > 0 and rho_below[k, i] > 0:
                            read[k] += had[i] * rho_below[k, i] * our_spread[i] / its_spread[k]
                    had = read
                    wanted[its_spread == 0] = 0
                expected = (had * wanted).sum() / (had.norm() * wanted.norm())
                torch.testing.assert_close(found[layer][seed, j], expected)
            below = rho, spread[:nodes], spread[nodes:]


def test_unrelated_students_do_not_resemble_a_teachers_weights() -> None:
    """Wide layers: the mean cosine of many random vectors is about 0."""
    (teachers, x), (students, _) = (drawn(((20,), None), seed, (40, 50, 60)) for seed in (0, 2))
    below = [one.mean().item() for one in cosines(teachers, students, x)[1:]]
    assert below == pytest.approx([0, 0], abs=0.1)
    ours = torch.zeros(1, 3, 4)
    theirs = torch.stack([torch.ones(4), torch.zeros(4)])[None]
    found = fan_in_cosine(theirs, ours, torch.tensor([[0, 1]]))
    assert (found[0, 0].item(), found[0, 1].isnan().item()) == (0, True)
