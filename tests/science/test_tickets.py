"""Branches: what each starts from, and what it shares with the others."""

import numpy as np
import pytest
import torch
from oracle import random_scores

from luckmatters.kinds.lottery.branches import names
from luckmatters.kinds.lottery.figures.branches import LOOKS
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.pruning import Mask, apply, keep_by_layer
from luckmatters.science.tickets import BRANCHES, Trunk

SEEDS = [5, 2]
FULL = {"inputs": (6,), "widths": [12, 16, 4], "kernel": None}
CONV = {"inputs": (2, 8, 8), "widths": [6, 10, 4], "kernel": 3}
SHAPES = pytest.mark.parametrize("shape", [FULL, CONV], ids=["fully-connected", "convolutional"])
NODES = pytest.mark.parametrize("nodes", [True, False], ids=["nodes", "weights"])
BOTH = lambda test: SHAPES(NODES(test))  # noqa: E731


def trunk(shape: dict, seeds: list[int] = SEEDS, *, batch_norm: bool = False) -> Trunk:
    parts = [
        initialize_students(**shape, seeds=seeds, purpose=name, batch_norm=batch_norm)
        for name in ("student-init", "early", "final")
    ]
    return Trunk(*parts, seeds, shape["inputs"], shape["kernel"])


def cut(of: Trunk, *, nodes: bool) -> Mask:
    scores = random_scores(Mask.everything(of.initial, nodes=nodes).layers, of.seeds)
    return keep_by_layer(scores, [layer[0].numel() // 3 for layer in scores])


def branch(name: str, shape: dict, nodes: bool) -> tuple[Networks, Trunk, Mask]:
    of = trunk(shape)
    mask = cut(of, nodes=nodes)
    return BRANCHES[name](of, mask).networks, of, mask


def same(one: Networks, other: Networks) -> bool:
    tensors = dict(other.named_tensors())
    return all(torch.equal(tensor, tensors[name]) for name, tensor in one.named_tensors())


@BOTH
@pytest.mark.parametrize(("name", "origin"), [("rewound", "initial"), ("early", "early"), ("untrained", "final")])
def test_kept_weights_equal_the_weights_of_the_rewind_epoch(shape: dict, nodes: bool, name: str, origin: str) -> None:
    found, of, mask = branch(name, shape, nodes)
    assert same(found, apply(getattr(of, origin), mask))
    if not nodes:
        for weight, kept, before in zip(found.weights, mask.layers, getattr(of, origin).weights, strict=True):
            assert torch.equal(weight[kept == 1], before[kept == 1])
            assert (weight[kept == 0] == 0).all()


@BOTH
def test_reinitialization_keeps_the_mask_and_changes_every_kept_weight(shape: dict, nodes: bool) -> None:
    for name in ("reinitialized", "same-signs", "own-scale"):
        (found, of, mask), (ticket, *_) = branch(name, shape, nodes), branch("rewound", shape, nodes)
        assert BRANCHES[name](of, mask).mask is mask
        for ours, theirs in zip(found.weights + found.biases, ticket.weights + ticket.biases, strict=True):
            assert torch.equal(ours == 0, theirs == 0)
            assert (ours[theirs != 0] != theirs[theirs != 0]).all()


@BOTH
def test_same_signs_keeps_signs_and_the_new_magnitudes(shape: dict, nodes: bool) -> None:
    found, ticket, new = (branch(name, shape, nodes)[0] for name in ("same-signs", "rewound", "reinitialized"))
    for ours, old, fresh in zip(found.weights, ticket.weights, new.weights, strict=True):
        assert torch.equal(ours.sign(), old.sign())
        assert torch.equal(ours.abs(), fresh.abs())
        assert not torch.equal(fresh.sign(), old.sign())


@BOTH
@pytest.mark.parametrize(("name", "before"), [("own-scale", "reinitialized"), ("rewound-own-scale", "rewound")])
def test_own_scale_follows_the_kept_fan_in(shape: dict, nodes: bool, name: str, before: str) -> None:
    found, of, _ = branch(name, shape, nodes)
    new = branch(before, shape, nodes)[0]
    for index, (weight, before) in enumerate(zip(found.weights, new.weights, strict=True)):
        dense = of.initial.weights[index]
        inputs = dense[0, 0].numel()
        for seed, node in np.ndindex(*weight.shape[:2]):
            ours = weight[seed, node]
            kept = ours.numel() if nodes else max(1, int((ours != 0).sum()))
            torch.testing.assert_close(ours, before[seed, node] * (inputs / kept) ** 0.5)
            assert ours.abs().max() <= kept**-0.5 * (1 + 1e-5)
    for index, (bias, before) in enumerate(zip(found.biases, new.biases, strict=True)):
        factor = (of.initial.weights[index][0, 0].numel() / found.weights[index][0, 0].numel()) ** 0.5
        torch.testing.assert_close(bias, before * (factor if nodes else 1))


def test_own_scale_of_single_weights_follows_the_inputs_of_each_node() -> None:
    of = trunk({"inputs": (8,), "widths": [4, 2], "kernel": None})
    layers = [torch.zeros(2, 4, 8), torch.ones(2, 2, 4)]
    layers[0][:, 0, :2] = 1  # one node reads 2 of 8 inputs, another 8, two none: on average over all, 2.5 of 8
    layers[0][:, 1] = 1
    mask = Mask(tuple(layers))
    found = BRANCHES["own-scale"](of, mask).networks
    new = of.redrawn
    torch.testing.assert_close(found.weights[0][:, 0, :2], 2 * new.weights[0][:, 0, :2])  # sqrt(8 / 2)
    assert torch.equal(found.weights[0][:, 1], new.weights[0][:, 1])
    assert (found.weights[0][:, 2:] == 0).all()
    assert torch.equal(found.weights[1], new.weights[1])
    assert all(torch.equal(a, b) for a, b in zip(found.biases, new.biases, strict=True))


def test_new_weights_have_batch_norm_where_the_students_have_it() -> None:
    parts = [initialize_students(**FULL, seeds=SEEDS, batch_norm=True, place="before") for _ in range(3)]
    of = Trunk(*parts, SEEDS, FULL["inputs"], None)
    assert BRANCHES["reinitialized"](of, cut(of, nodes=True)).networks.place == "before"


@BOTH
def test_random_controls_keep_initial_weights_of_other_places(shape: dict, nodes: bool) -> None:
    of = trunk(shape)
    mask = cut(of, nodes=nodes)
    for name in ("random-nodes", "shuffled"):
        start = BRANCHES[name](of, mask)
        assert torch.equal(start.mask.counts(), mask.counts())
        assert not same(start.networks, BRANCHES["rewound"](of, mask).networks)
        assert same(start.networks, apply(of.initial, start.mask))


@SHAPES
def test_scratch_is_an_ordinary_network_of_the_pruned_widths(shape: dict) -> None:
    found, *_ = branch("scratch", shape, True)
    assert found.widths == branch("rewound", shape, True)[0].widths
    for weight in found.weights:
        assert weight.abs().max() <= weight[0, 0].numel() ** -0.5
        assert weight.abs().max() > 0.8 * weight[0, 0].numel() ** -0.5


@BOTH
def test_the_dense_branch_prunes_nothing(shape: dict, nodes: bool) -> None:
    found, of, _ = branch("dense", shape, nodes)
    assert same(found, of.initial)


@BOTH
@pytest.mark.parametrize("name", list(BRANCHES))
def test_a_branch_of_a_seed_does_not_depend_on_other_seeds_and_branches(shape: dict, nodes: bool, name: str) -> None:
    together, of = trunk(shape), trunk(shape, SEEDS[1:])
    mask = cut(together, nodes=True) if name == "scratch" else cut(together, nodes=nodes)
    for other in BRANCHES:  # a shared generator would have been moved by these
        if other != "scratch":
            BRANCHES[other](together, mask)
    found, alone = BRANCHES[name](together, mask).networks, BRANCHES[name](of, mask.each()[1]).networks
    assert same(found.select([1]), alone)


def test_branches_differ_from_each_other() -> None:
    found = {name: branch(name, FULL, True)[0] for name in BRANCHES if name != "dense"}
    for one in found:
        for other in found:
            assert one == other or not same(found[one], found[other]), (one, other)


def test_branches_with_batch_norm_start_from_the_norms_of_their_epoch() -> None:
    of = trunk(FULL, batch_norm=True)
    of.early.norms[0].weight += torch.arange(12.0)
    mask = cut(of, nodes=True)
    early = BRANCHES["early"](of, mask).networks
    kept = mask.layers[0][0] == 1
    assert torch.equal(early.norms[0].weight[0], of.early.norms[0].weight[0][kept])
    assert torch.equal(BRANCHES["rewound"](of, mask).networks.norms[0].weight, torch.ones(2, 4))


def test_configuration_and_figures_know_every_branch_without_importing_it() -> None:
    assert names() == list(BRANCHES)
    assert set(LOOKS) == set(BRANCHES)
