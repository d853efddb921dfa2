"""Masks, criteria and pruned networks: exact counts, exact equality, and training that respects the mask."""

import math

import numpy as np
import pytest
import torch
from oracle import Module, assert_same, random_scores, sgd

from luckmatters.science.criteria import (
    fan_out_spread,
    node_magnitude,
    node_overlap,
    spread,
    weight_magnitude,
    weight_spread,
)
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.pruning import (
    Mask,
    apply,
    greatest,
    in_place,
    keep_by_layer,
    keep_overall,
    on_random_nodes,
    over_weights,
    shuffled,
)
from luckmatters.science.shapes import scaled
from luckmatters.science.teachers import draw_teachers
from luckmatters.science.training import Trainer, cross_entropy

SEEDS = [3, 1, 4]
FULL = {"inputs": (6,), "widths": [10, 15, 8, 4], "kernel": None}
CONV = {"inputs": (2, 8, 8), "widths": [6, 10, 4], "kernel": 3}
SHAPES = pytest.mark.parametrize("shape", [FULL, CONV], ids=["fully-connected", "convolutional"])
NODES = pytest.mark.parametrize("nodes", [True, False], ids=["nodes", "weights"])


def students(shape: dict, *, batch_norm: bool = False, dtype: torch.dtype = torch.float64) -> Networks:
    networks = initialize_students(**shape, seeds=SEEDS, batch_norm=batch_norm, dtype=dtype)
    Trainer(networks).step(*samples(shape), lr=0.1)  # moves the running statistics off their start
    return networks


def samples(shape: dict, count: int = 32, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(seed)
    x, y = ((len(SEEDS), n, count) for n in (math.prod(shape["inputs"]), shape["widths"][-1]))
    return tuple(torch.randn(one, generator=stream, dtype=torch.float64) for one in (x, y))


def scores(networks: Networks, *, nodes: bool) -> list[torch.Tensor]:
    return random_scores(Mask.everything(networks, nodes=nodes).layers, SEEDS)


def half(networks: Networks, *, nodes: bool) -> Mask:
    found = scores(networks, nodes=nodes)
    return keep_by_layer(found, [layer[0].numel() // 2 for layer in found])


# --- masks and counts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0, math.nan])
def test_a_mask_admits_only_0_and_1(value: float) -> None:
    Mask((torch.tensor([[0.0, 1.0]]),))
    with pytest.raises(ValueError, match="0 and 1 alone"):
        Mask((torch.tensor([[0.0, value]]),))


@SHAPES
@NODES
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.99, 1.0])
def test_counts_are_exact_in_every_layer_and_seed(shape: dict, nodes: bool, share: float) -> None:
    networks, (x, _) = students(shape), samples(shape)
    teachers = draw_teachers(shape["inputs"], shape["widths"], init="separated", seeds=SEEDS, kernel=shape["kernel"])
    teachers = Networks([w.double() for w in teachers.weights], [b.double() for b in teachers.biases], [])
    kinds = {
        True: [node_magnitude(networks), fan_out_spread(networks, x), node_overlap(teachers, networks, x)],
        False: [weight_magnitude(networks), weight_spread(networks, x)],
    }[nodes]
    for found in [*kinds, scores(networks, nodes=nodes)]:
        counts = [math.floor(share * layer[0].numel() + 0.5) for layer in found]
        assert keep_by_layer(found, counts).counts().tolist() == [[count] * len(SEEDS) for count in counts]
        overall = keep_overall(found, counts)
        assert overall.counts().sum(0).tolist() == [sum(counts)] * len(SEEDS)


@SHAPES
def test_the_magnitude_of_a_weight_has_no_sign(shape: dict) -> None:
    networks = students(shape)
    for found, weight in zip(weight_magnitude(networks), networks.weights, strict=True):
        assert torch.equal(found, torch.where(weight < 0, -weight, weight))


def test_the_greatest_scores_are_kept_and_ties_go_by_index() -> None:
    found = torch.tensor([[3.0, 1.0, 3.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert greatest(found, 2).tolist() == [[1, 0, 1, 0, 0], [1, 1, 0, 0, 0]]
    assert greatest(found, 4).tolist() == [[1, 0, 1, 1, 1], [1, 1, 1, 1, 0]]
    assert greatest(found, torch.tensor([1, 3])).tolist() == [[1, 0, 0, 0, 0], [1, 1, 1, 0, 0]]
    with pytest.raises(ValueError, match="cannot be kept"):
        greatest(found, 6)


def test_top_k_equals_a_naive_choice() -> None:
    stream = np.random.default_rng(0)
    found = torch.from_numpy(stream.integers(0, 5, (20, 3, 7))).double()  # many ties
    for count in range(22):
        mask = greatest(found, count)
        for one, kept in zip(found, mask, strict=True):
            values = one.flatten().tolist()
            expected = sorted(range(len(values)), key=lambda index: (-values[index], index))[:count]
            assert kept.flatten().nonzero().flatten().tolist() == sorted(expected)


def test_keep_overall_keeps_the_greatest_scores_of_all_layers() -> None:
    found = [torch.tensor([[9.0, 8.0, 7.0]]), torch.tensor([[1.0, 8.5]])]
    assert [layer.tolist() for layer in keep_overall(found, [1, 2]).layers] == [[[1, 1, 0]], [[0, 1]]]


def test_widths_of_a_size_round_halves_up() -> None:
    assert scaled([10, 15, 20, 25], 0.5) == [5, 8, 10, 13]
    assert scaled([10, 15, 20, 25], 1) == [10, 15, 20, 25]


# --- criteria against naive computations -----------------------------------------------------------------------------


@SHAPES
@pytest.mark.parametrize("batch_norm", [False, True])
def test_criteria_equal_loops_over_nodes(shape: dict, batch_norm: bool) -> None:
    networks, (x, _) = students(shape, batch_norm=batch_norm), samples(shape)
    found = node_magnitude(networks), networks.fan_out_norms(), spread(networks, x)
    weighted = weight_spread(networks, x)
    for seed in range(len(SEEDS)):
        module = Module(networks, seed).eval()
        layers = [layer.detach() for layer in module.activations(x[seed].T)]
        for index, layer in enumerate(layers[:-1]):
            below, above = (module.linears[i].weight.detach() for i in (index, index + 1))
            for node in range(layer.shape[1]):
                fed = above.view(len(above), layer.shape[1], -1)[:, node]
                both = torch.cat([below[node].flatten(), fed.flatten()])
                moved = layer[:, node].std(correction=0)
                expected = both.norm(), fed.norm(), moved
                for ours, theirs in zip(found, expected, strict=True):
                    torch.testing.assert_close(ours[index][seed, node], theirs)
                ours = weighted[index + 1][seed].reshape(len(above), layer.shape[1], -1)[:, node]
                torch.testing.assert_close(ours, fed.abs() * moved)
        channels = x[seed].view(shape["inputs"][0], -1)
        first = module.linears[0].weight.detach().abs() * channels.std(1, correction=0).view(
            -1, *[1] * (weighted[0].dim() - 3)
        )
        torch.testing.assert_close(weighted[0][seed], first)


@SHAPES
def test_the_overlap_criterion_takes_every_teacher_nodes_best_student_first(shape: dict) -> None:
    networks, (x, _) = students(shape), samples(shape, 200)
    widths = [3, 4, 4][: len(networks.widths) - 1]
    teachers = draw_teachers(shape["inputs"], [*widths, 4], init="separated", seeds=[0], kernel=shape["kernel"])
    teachers = Networks([w.double() for w in teachers.weights], [b.double() for b in teachers.biases], [])
    teachers.biases[0][0, 0] = -1e6  # a dead one
    found = node_overlap(teachers, networks, x)
    for seed in range(len(SEEDS)):
        its, ours = (one.activations(x[seed : seed + 1]) for one in (teachers, networks.select([seed])))
        for layer, scores_ in enumerate(found):
            teacher, student = its[layer][0].numpy(), ours[layer][0].numpy()
            rho = np.array([[np.corrcoef(t, s)[0, 1] if t.std() and s.std() else 0 for s in student] for t in teacher])
            rho = rho[rho.any(1)]  # a dead teacher node has no best student
            place = np.array([[(row > one).sum() for one in row] for row in rho]).min(0)
            order = sorted(range(len(student)), key=lambda k: (place[k], -rho[:, k].max()))
            assert scores_[seed].sort(descending=True, stable=True).indices.tolist() == order
            winners = {int(row.argmax()) for row in rho}
            assert set(order[: len(winners)]) >= winners


# --- what remains ----------------------------------------------------------------------------------------------------


@SHAPES
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_pruned_node_has_no_influence(shape: dict, batch_norm: bool) -> None:
    """The narrow networks' output is that of the wide ones whose pruned nodes feed nothing, as modules compute it."""
    networks, (x, _) = students(shape, batch_norm=batch_norm), samples(shape)
    mask = half(networks, nodes=True)
    narrow = apply(networks, mask)
    assert narrow.widths == [*(layer.shape[1] // 2 for layer in mask.layers), shape["widths"][-1]]
    for seed in range(len(SEEDS)):
        wide = Module(networks, seed).eval()
        with torch.no_grad():
            for layer, kept in enumerate(mask.layers):
                above = wide.linears[layer + 1].weight
                above.view(len(above), kept.shape[1], -1)[:, kept[seed] == 0] = 0
            torch.testing.assert_close(narrow(x)[seed].T, wide(x[seed].T), rtol=1e-12, atol=1e-12)


@SHAPES
@pytest.mark.parametrize("kept", [0, 1])
def test_nothing_and_everything_can_be_kept(shape: dict, kept: int) -> None:
    networks, (x, _) = students(shape), samples(shape)
    for nodes in (True, False):
        found = scores(networks, nodes=nodes)
        pruned = apply(networks, keep_by_layer(found, [kept * layer[0].numel() for layer in found]))
        if kept:
            for name, tensor in pruned.named_tensors():
                assert torch.equal(tensor, dict(networks.named_tensors())[name])
        else:
            lasting = networks.biases[-1] if nodes else pruned(x)[..., :1]
            assert torch.equal(pruned(x), lasting.expand_as(pruned(x)))


@SHAPES
def test_seeds_that_keep_fewer_nodes_get_inert_nodes(shape: dict) -> None:
    networks, (x, y) = students(shape), samples(shape)
    overall = keep_overall(scores(networks, nodes=True), [3] * (len(networks.weights) - 1))
    together = apply(networks, overall)
    assert len({tuple(one) for one in overall.counts().T.tolist()}) > 1  # else nothing is tested
    alone = [apply(networks.select([seed]), one) for seed, one in enumerate(overall.each())]
    for _ in range(5):
        Trainer(together).step(x, y, lr=0.1)
        for seed, one in enumerate(alone):
            Trainer(one).step(x[seed : seed + 1], y[seed : seed + 1], lr=0.1)
    for seed, one in enumerate(alone):
        torch.testing.assert_close(together(x)[seed], one(x[seed : seed + 1])[0], rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="with BatchNorm"):
        apply(students(shape, batch_norm=True), overall)


@SHAPES
def test_a_node_mask_and_its_weight_mask_give_the_same_outputs(shape: dict) -> None:
    networks, (x, _) = students(shape), samples(shape)
    mask = half(networks, nodes=True)
    masked = apply(networks, over_weights(mask, networks))
    for layer, kept in enumerate(mask.layers):
        masked.biases[layer] *= kept[..., None]
    torch.testing.assert_close(masked(x), apply(networks, mask)(x), rtol=1e-12, atol=1e-12)


@SHAPES
@NODES
def test_a_later_round_keeps_only_what_earlier_rounds_kept(shape: dict, nodes: bool) -> None:
    networks = students(shape)
    mask = Mask.everything(networks, nodes=nodes)
    for share in (0.7, 0.4, 0.2):
        pruned = apply(networks, mask)
        found = node_magnitude(pruned) if nodes else weight_magnitude(pruned)
        counts = [round(share * layer[0].numel()) for layer in mask.layers]
        following = keep_by_layer(in_place(found, mask), counts)
        assert following.counts()[:, 0].tolist() == counts
        assert all((after <= before).all() for after, before in zip(following.layers, mask.layers, strict=True))
        mask = following
    if not nodes:  # |w| does not depend on what else is there: one round gives the same
        once = keep_by_layer(weight_magnitude(networks), counts)
        assert all(torch.equal(a, b) for a, b in zip(once.layers, mask.layers, strict=True))


@SHAPES
@NODES
def test_random_masks_keep_the_counts_and_belong_to_their_seed(shape: dict, nodes: bool) -> None:
    networks = students(shape)
    mask = half(networks, nodes=nodes)
    for change in (shuffled, on_random_nodes):
        other = change(mask, seeds=SEEDS)
        assert torch.equal(other.counts(), mask.counts())
        assert any(not torch.equal(a, b) for a, b in zip(other.layers, mask.layers, strict=True))
        alone = change(mask.each()[1], seeds=SEEDS[1:2])
        assert all(torch.equal(a[1:2], b) for a, b in zip(other.layers, alone.layers, strict=True))
        same = Mask(tuple(layer[:1].expand_as(layer) for layer in mask.layers))
        assert any((one[0] != one[1]).any() for one in change(same, seeds=SEEDS).layers)


def test_random_nodes_keep_the_structure_of_a_weight_mask() -> None:
    networks = students(FULL)
    mask = half(networks, nodes=False)
    moved, mixed = on_random_nodes(mask, seeds=SEEDS), shuffled(mask, seeds=SEEDS)

    def degrees(one: Mask) -> list:  # how many weights read and feed each node, in any order
        pairs = zip(one.layers, one.layers[1:], strict=False)
        return [
            sorted(zip(below[seed].sum(1).tolist(), above[seed].sum(0).tolist(), strict=True))
            for below, above in pairs
            for seed in range(len(SEEDS))
        ]

    assert degrees(moved) == degrees(mask)
    assert degrees(mixed) != degrees(mask)


# --- masked training -------------------------------------------------------------------------------------------------


@SHAPES
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("momentum", [0, 0.9])
def test_masked_steps_equal_autograd_with_masked_weights(
    shape: dict, grouped: bool, batch_norm: bool, momentum: float
) -> None:
    networks, (x, y) = students(shape, batch_norm=batch_norm), samples(shape)
    mask = half(networks, nodes=False)
    pruned = apply(networks, mask)
    modules = [Module(pruned, seed) for seed in range(len(SEEDS))]
    trainer = Trainer(pruned, mask=mask, momentum=momentum)
    if grouped:
        trainer._in_turn = []  # as on CUDA
    for _ in range(8):
        trainer.step(x, y, lr=0.1)
    for seed, module in enumerate(modules):
        for linear, kept in zip(module.linears, mask.layers, strict=True):
            torch.nn.utils.parametrize.register_parametrization(linear, "weight", Times(kept[seed]))
        assert_same(sgd(module, [(x[seed], y[seed])] * 8, 0.1, momentum=momentum), pruned, seed, rtol=1e-10, atol=1e-12)
    for weight, kept in zip(pruned.weights, mask.layers, strict=True):
        assert (weight[kept == 0] == 0).all()
        assert (weight[kept == 1] != 0).all()


class Times(torch.nn.Module):
    """A weight as a constant mask times a parameter."""

    def __init__(self, kept: torch.Tensor) -> None:
        super().__init__()
        self.kept = kept

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * self.kept


@SHAPES
@pytest.mark.parametrize("on_labels", [False, True])
def test_networks_of_a_seed_share_samples(shape: dict, on_labels: bool) -> None:
    x, y = (one[:2] for one in samples(shape))
    target = y.argmax(1) if on_labels else y
    one, other = (initialize_students(**shape, seeds=range(6), dtype=torch.float64) for _ in range(2))
    loss = (cross_entropy,) if on_labels else ()
    shared, apart = (Trainer(networks, *loss, momentum=0.9) for networks in (one, other))
    for _ in range(4):
        shared.step(x, target, lr=0.1)
        apart.step(x.repeat_interleave(3, 0), target.repeat_interleave(3, 0), lr=0.1)
    for name, tensor in one.named_tensors():
        torch.testing.assert_close(tensor, dict(other.named_tensors())[name], rtol=1e-12, atol=1e-12)
