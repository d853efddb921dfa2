"""Simulating kinds: fan-out norms, two nodes, decision lines; their tables, claims and figures."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from scipy import stats

from luckmatters.config import Project
from luckmatters.judging.published import departures, joint_tolerance
from luckmatters.judging.statistics import LacksDataError
from luckmatters.kinds.decision_lines import run as decision_lines
from luckmatters.kinds.decision_lines.figure import GAP, HALF, crossings, edge_point, edge_position, spread
from luckmatters.kinds.decision_lines.settings import DecisionLines
from luckmatters.kinds.fan_out import run as fan_out
from luckmatters.kinds.fan_out.claims import kept, lost, starting, winners_above
from luckmatters.kinds.fan_out.run import samples
from luckmatters.kinds.fan_out.settings import FanOut
from luckmatters.kinds.two_nodes import run as two_nodes_kind
from luckmatters.kinds.two_nodes.claims import two_nodes
from luckmatters.kinds.two_nodes.run import first_passing
from luckmatters.kinds.two_nodes.settings import TwoNodes
from luckmatters.ledger import CONTRADICTS, SUPPORTS, judge
from luckmatters.science.dynamics import Dynamics, with_constant
from luckmatters.science.random import generator
from luckmatters.settings.experiment import Run
from luckmatters.tables.results import Results

SIMULATION = {"learning_rate": 0.05, "batch": 16, "steps_per_epoch": 3, "epochs": 4, "seeds": [0, 2]}
SETTINGS = {
    "fan-out": (
        fan_out, FanOut,
        {"widths": [4, 5, 6], "multiplier": 2, "starts": {"a": [1.0, 0.0], "b": [0.3, 1.0]}, "bias": 0.1,
         "gradient": "matrix", "snapshots": [0, 4]},
    ),
    "two-nodes": (
        two_nodes_kind, TwoNodes,
        {"inputs": 4, "outputs": 3, "replicas": 5, "gradient": "accurate", "levels": [0.9]},
    ),
    "decision-lines": (
        decision_lines, DecisionLines,
        {"teacher_nodes": 2, "students": 6, "outputs": 4, "std": 1.0, "snapshots": [0, 4]},
    ),
}  # fmt: skip


def make_run(kind: str, **changes: object) -> Run:
    _, model, own = SETTINGS[kind]
    settings = model.model_validate(SIMULATION | own | changes)
    return Run.model_validate(
        {"experiment": "toy", "variant": "base", "scale": "ci", "kind": kind, "labels": {}, "settings": settings,
         "teacher": None, "seeds": [0, 2]}
    )  # fmt: skip


def run_to_end(run: Run, seeds: tuple[int, ...] = (0, 2)):
    states = list(SETTINGS[run.kind][0].simulate(run, seeds))
    return states, SETTINGS[run.kind][0].finish(run, seeds, states[-1])


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("after", [0, 2, 4])
def test_resuming_gives_the_numbers_of_an_uninterrupted_run(kind: str, after: int) -> None:
    run = make_run(kind)
    states, expected = run_to_end(run)
    module = SETTINGS[kind][0]
    assert [state.epoch for state in states] == [0, 1, 2, 3, 4]
    assert module.last(run) == 4
    rest = list(module.simulate(run, (0, 2), resume=states[after]))
    assert len(rest) == 4 - after
    found = module.finish(run, (0, 2), [*states[: after + 1], *rest][-1])
    pd.testing.assert_frame_equal(found.table, expected.table)
    torch.testing.assert_close(found.tensors, expected.tensors, rtol=0, atol=0)


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_seed_alone_gives_the_same_table(kind: str) -> None:
    run = make_run(kind)
    together, alone = (run_to_end(run, seeds)[1].table for seeds in ((0, 2), (2,)))
    together = together[together["seed"] == 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(together, alone.reset_index(drop=True), rtol=1e-4, atol=1e-6)
    assert not (run_to_end(run)[1].table.query("seed == 0")["value"].to_numpy() == alone["value"].to_numpy()).all()


def test_fan_out_norms_equal_those_of_a_rerun_step_by_step() -> None:
    run = make_run("fan-out")
    _, result = run_to_end(run)
    teacher, students = fan_out.draw(run, (0, 2))
    dynamics = Dynamics(students, teacher)
    for epoch in range(4):
        dynamics.run(with_constant(samples((0, 2), epoch, 3, 16, 4)), 0.05)
    values = result.table.set_index(["quantity", "epoch", "seed", "start"])["value"]
    for (position, seed), (place, start) in itertools.product(enumerate((0, 2)), enumerate("ab")):
        lowest, top = (weight[position, place].double() for weight in dynamics.layers)
        norms = torch.tensor([row.norm() for row in top[:-1]], dtype=torch.double)
        assert values["matched_norm", 4, seed, start] == pytest.approx(norms[:5].mean().item(), rel=1e-6)
        assert values["unmatched_norm", 4, seed, start] == pytest.approx(norms[5:].mean().item(), rel=1e-6)
        cosines = teacher[0][position].double().T @ lowest
        winners = sorted(set(cosines.argmax(1).tolist()))
        others = [node for node in range(10) if node not in winners]
        assert values["winner_norm", 4, seed, start] == pytest.approx(norms[winners].mean().item(), rel=1e-6)
        assert values["other_norm", 4, seed, start] == pytest.approx(norms[others].mean().item(), rel=1e-6)
        assert values["matched_cosine", 4, seed, start] == pytest.approx(cosines.diag().mean().item(), rel=1e-5)
        assert values["best_cosine", 4, seed, start] == pytest.approx(cosines.max(1).values.mean().item(), rel=1e-6)
        torch.testing.assert_close(result.tensors["norm/0"][1, position, place].double(), norms, rtol=1e-6, atol=0)
    assert (values["diverged"] == 0).all()
    assert result.table["layer"].isna().equals(result.table["quantity"] == "diverged")
    assert not result.table.duplicated(["seed", "start", "epoch", "layer", "quantity"]).any()


def test_a_diverged_start_is_reported() -> None:
    run = make_run("fan-out")
    states, _ = run_to_end(run)
    states[-1].tensors["history/norm/0"][2:, 1, 0, 3] = torch.nan
    table = fan_out.finish(run, (0, 2), states[-1]).table.set_index(["quantity", "epoch", "seed", "start"])["value"]
    assert table["diverged"].reset_index().query("value == 1")[["epoch", "seed", "start"]].to_numpy().tolist() == [
        [2, 2, "a"], [3, 2, "a"], [4, 2, "a"],
    ]  # fmt: skip
    assert np.isnan(table["matched_norm", 3, 2, "a"])
    assert np.isfinite(table["matched_norm", 3, 2, "b"])


def test_starts_of_a_seed_share_teacher_and_samples_and_seeds_share_nothing() -> None:
    run = make_run("fan-out")
    teacher, students = fan_out.draw(run, (0, 2))
    assert not torch.equal(teacher[0][0], teacher[0][1])
    assert not torch.equal(students[0][0, 0, :, 5:], students[0][1, 0, :, 5:])
    assert torch.equal(students[0][0, 0, :, 5:], students[0][0, 1, :, 5:])  # nodes that nothing is added to
    x = samples((0, 2), 1, 3, 16, 4)
    assert x.shape == (3, 2, 16, 4)
    expected = generator("fan-out-samples", 2, 1).standard_normal((3, 16, 4), dtype=np.float32)
    assert np.array_equal(x[:, 1].numpy(), expected)


def test_first_passing_is_interpolated() -> None:
    values = np.array([[0.0, 0.95, 0.0, 0.8], [0.8, 0.9, 0.1, 0.9], [1.0, 0.99, 0.2, 0.7]])
    np.testing.assert_allclose(first_passing(values, 0.9), [1.5, 0.0, np.nan, 1.0])


def test_two_nodes_keep_the_teachers_fan_out_and_no_biases() -> None:
    run = make_run("two-nodes")
    states, result = run_to_end(run)
    teacher, students = two_nodes_kind.draw(run, (0, 2))
    torch.testing.assert_close(teacher[1][:, :-1] @ teacher[1][:, :-1].mT, torch.eye(2).expand(2, 2, 2))
    network = states[-1].network()
    assert torch.equal(network["layer.1"], students[1])
    assert (network["layer.0"][:, :, -1] == 0).all()
    assert not torch.equal(network["layer.0"], students[0])
    start = result.table.query("quantity == 'initial_cosine'").set_index(["seed", "replica", "node"])["value"]
    expected = torch.cosine_similarity(teacher[0][1, :, 1], students[0][1, 3, :, 1], dim=0)
    assert start[2, 3, 1] == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("gradient", ["matrix", "accurate"])
def test_measured_times_equal_predicted_times(gradient: str) -> None:
    """Small steps and large batches; the scatter of batches of 64 at rate 0.01 is about 0.012."""
    settings = {"gradient": gradient, "inputs": 5, "learning_rate": 0.02, "batch": 256, "steps_per_epoch": 10}
    _, result = run_to_end(make_run("two-nodes", epochs=60, **settings))
    wide = result.table.pivot(index=["seed", "replica", "node"], columns="quantity", values="value")
    wide = wide[(wide["predicted_0.9"] < 11) & (wide["predicted_0.9"] > 1)]
    assert len(wide) > 10
    assert (wide["converged_0.9"] == 1).all()
    ratio = wide["time_0.9"] / wide["predicted_0.9"]
    assert ratio.mean() == pytest.approx(1, abs=0.03)
    assert ratio.sub(1).abs().max() < 0.1


def test_decision_lines_are_the_weights_of_hidden_nodes() -> None:
    run = make_run("decision-lines")
    states, result = run_to_end(run)
    weight, bias = (states[-1].network()[f"layer.0.{name}"] for name in ("weight", "bias"))
    assert torch.equal(result.tensors["lines"][-1], torch.cat([weight, bias], dim=2))
    expected = states[-1].network()["layer.1.weight"].norm(dim=1)
    torch.testing.assert_close(result.tensors["fan_out"][-1], expected)
    loss = result.table.query("quantity == 'loss'").pivot(index="epoch", columns="seed", values="value")
    assert (loss.iloc[-1] < loss.iloc[0]).all()
    assert result.table["layer"].isna().equals(result.table["quantity"] != "fan_out_norm")
    assert result.tensors["teacher_lines"].shape == (2, 2, 3)


# --- claims ----------------------------------------------------------------------------------------------------------

PROJECT = Project(ROOT, scale="paper")
EPOCHS, SEEDS = (0, 20, 199), range(4)


def fan_out_results(name: str, values) -> Results:
    """Results whose values are a function of (variant, start, epoch, quantity, seed)."""
    labels = {variant: its for variant, (_, its) in PROJECT.variants(name).items()}
    runs = {variant: run for variant, (run, _) in PROJECT.variants(name).items()}
    layer = len(next(iter(runs.values())).settings.widths) - 3
    quantities = ("matched_norm", "unmatched_norm", "winner_norm", "other_norm")
    rows = [
        (variant, its["multiplier"], seed, start, epoch, layer, quantity, values(variant, start, epoch, quantity, seed))
        for variant, its in labels.items()
        for start in runs[variant].settings.starts
        for seed, epoch, quantity in itertools.product(SEEDS, EPOCHS, quantities)
    ]
    columns = ["variant", "multiplier", "seed", "start", "epoch", "layer", "quantity", "value"]
    table = pd.DataFrame(rows, columns=columns).astype({"layer": "Int64"})
    published = {
        v: pd.read_csv(ROOT / "data/published" / f) for v, f in PROJECT.experiment(name).figure.published.items()
    }
    return Results(name, PROJECT.experiment(name), "paper", table, runs, labels, [], {}, {}, {}, published)


LEFT = {"1-0": 0.55, "1-03": 0.28, "03-1": 0.5}  # of the unmatched nodes' norm; the first two as published


def as_theorem(variant: str, start: str, epoch: int, quantity: str, seed: int) -> float:
    """Matched nodes gain, others vanish from starts that are aligned throughout, and lose as much as published else."""
    noise = 0.002 * (seed - 1.5)
    if quantity in ("winner_norm", "other_norm"):
        return (1.0 if quantity == "winner_norm" else 0.5) + noise
    if quantity == "matched_norm":
        return 0.6 + 0.3 * (epoch > 0) + noise
    return 0.5 * (LEFT.get(start, 0.03) if epoch else 1) + noise


def outcomes(name: str, experiment: str, results: Results) -> dict[str, str]:
    return judge(name, PROJECT.claims[name], {experiment: results}, "paper").outcomes


def test_results_that_follow_the_theorem_support_every_check() -> None:
    found = outcomes("fan-out-vanishes", "fan-out-one-hidden", fan_out_results("fan-out-one-hidden", as_theorem))
    assert set(found.values()) == {SUPPORTS}
    three = outcomes("fan-out-vanishes", "fan-out-two-hidden", fan_out_results("fan-out-two-hidden", as_theorem))
    assert set(three.values()) == {SUPPORTS}
    assert set(found) | set(three) == set(PROJECT.claims["fan-out-vanishes"].checks)


@pytest.mark.parametrize("odd", ["m2", "m5", "m10"])
@pytest.mark.parametrize("start", ["1-0", "1-03", "1-1"])
def test_a_single_multiplier_and_start_that_deviates_fails_its_check(odd: str, start: str) -> None:
    """Published levels are those of m = 5 alone."""

    def stays(variant, its, epoch, quantity, seed):
        frozen = variant == odd and its == start
        return as_theorem(variant, its, 0 if frozen else epoch, quantity, seed)

    def shrinks(variant, its, epoch, quantity, seed):
        lower = 0.5 * (epoch > 0) * (variant == odd and its == start and quantity == "matched_norm")
        return as_theorem(variant, its, epoch, quantity, seed) - lower

    found = outcomes("fan-out-vanishes", "fan-out-one-hidden", fan_out_results("fan-out-one-hidden", stays))
    against = [key for key in found if key.startswith("vanishes") and found[key] == CONTRADICTS]
    assert against == ([f"vanishes-{start}"] if start == "1-1" or odd == "m5" else [])
    found = outcomes("fan-out-vanishes", "fan-out-one-hidden", fan_out_results("fan-out-one-hidden", shrinks))
    assert found[f"keeps-{start}"] == CONTRADICTS
    assert found[f"vanishes-{start}"] == SUPPORTS


@pytest.mark.parametrize("odd", ["m2", "m5", "m10"])
def test_a_loss_without_alignment_fails_the_check_of_alignment_alone(odd: str) -> None:
    def regardless(variant, start, epoch, quantity, seed):
        matters = variant != odd or quantity != "unmatched_norm"
        return as_theorem(variant, start if matters or start != "03-1" else "1-1", epoch, quantity, seed)

    found = outcomes("fan-out-vanishes", "fan-out-one-hidden", fan_out_results("fan-out-one-hidden", regardless))
    assert {key: found[key] for key in found if found[key] != SUPPORTS} == {"alignment-matters": CONTRADICTS}


def test_shares_lost_are_compared_with_the_published_ones() -> None:
    frame = pd.read_csv(ROOT / "data/published/fan-out-one-hidden.csv").query(
        "quantity == 'unmatched_norm' and start == '1-0'"
    )
    first, last = (frame[frame["epoch"] == epoch].iloc[0] for epoch in (0, 199))
    reading = last["value"] / first["value"] * np.hypot(*(one["uncertainty"] / one["value"] for one in (last, first)))
    results = fan_out_results("fan-out-one-hidden", as_theorem)
    effect, _ = judge(
        "fan-out-vanishes", PROJECT.claims["fan-out-vanishes"], {"fan-out-one-hidden": results}, "paper"
    ).effects["vanishes-1-0"]
    ours = lost(results, starting(1.0, 0.0))["m5"]
    error = np.sqrt(ours.var() * (1 / 4 + 1 / 32) + reading**2)
    departure = abs(ours.mean() - (1 - last["value"] / first["value"])) / error
    assert effect.estimate == pytest.approx(stats.t.ppf(0.975, 3) - departure)
    missing = replace(results, published={})
    judgement = judge("fan-out-vanishes", PROJECT.claims["fan-out-vanishes"], {"fan-out-one-hidden": missing}, "paper")
    assert "vanishes-1-0 is missing: there is no published level" in judgement.note
    assert judgement.verdict == "supported"


def test_winners_below_the_others_anywhere_fail_their_check() -> None:
    def swapped(variant, start, epoch, quantity, seed):
        other = {"winner_norm": "other_norm", "other_norm": "winner_norm"}.get(quantity, quantity)
        return as_theorem(variant, start, epoch, other if start == "03-1" else quantity, seed)

    assert winners_above(fan_out_results("fan-out-one-hidden", swapped)).high < 0


def test_published_numbers_are_within_tolerance_and_other_numbers_are_not() -> None:
    frame = pd.read_csv(ROOT / "data/published/fan-out-one-hidden.csv").set_index(["quantity", "start", "epoch"])[
        "value"
    ]

    def measured(shift: float):
        def value(variant, start, epoch, quantity, seed):
            if quantity not in ("matched_norm", "unmatched_norm") or epoch not in (0, 20, 199):
                return 1.0
            moved = shift * (start == "1-1" and quantity == "matched_norm" and epoch == 199)
            return frame[quantity, start, epoch] + 0.002 * (seed - 1.5) + moved

        return fan_out_results("fan-out-one-hidden", value)

    close, far = (departures(measured(shift)) for shift in (0.0, 0.05))
    assert close["departure"].abs().max() < joint_tolerance(close)
    assert far["departure"].abs().max() > joint_tolerance(far)
    found = departures(measured(0.05)).set_index(["quantity", "start", "epoch"])["departure"]
    spread_of_seeds = np.std([0.002 * (seed - 1.5) for seed in SEEDS], ddof=1)
    error = np.sqrt(spread_of_seeds**2 * (1 / 4 + 1 / 32) + 0.001**2)
    assert found["matched_norm", "1-1", 199] == pytest.approx(0.05 / error)
    assert found.drop(("matched_norm", "1-1", 199)).abs().max() < 1e-6
    assert departures(replace(measured(0.0), published={})).empty


def test_curves_without_starts_are_compared_at_whole_epochs() -> None:
    """As in over-param, whose epochs are fractions where a luck-speed run is included."""
    labels, runs = {"m10": {"multiplier": "m10"}}, {}
    rows = [
        ("m10", seed, epoch, 1, "correlation_192", 0.9 + 0.01 * seed) for seed in SEEDS for epoch in (0.5, 1.0, 2.0)
    ]
    rows += [("m10", 0, 1.0, None, "loss", 1.0)]
    table = pd.DataFrame(rows, columns=["variant", "seed", "epoch", "layer", "quantity", "value"])
    level = {"quantity": ["correlation_192"] * 3, "layer": 1, "epoch": [0, 1, 2], "value": [np.nan, 0.915, 0.9]}
    published = {"m10": pd.DataFrame(level).assign(uncertainty=0.005, seeds=32)}
    experiment = PROJECT.experiment("over-param")
    results = Results(
        "over-param", experiment, "paper", table.astype({"layer": "Int64"}), runs, labels, [], {}, {}, {}, published
    )
    found = departures(results)
    assert found["epoch"].tolist() == [1, 2]
    assert "start" not in found
    error = np.sqrt(np.var([0.9, 0.91, 0.92, 0.93], ddof=1) * (1 / 4 + 1 / 32) + 0.005**2)
    assert found["departure"].tolist() == pytest.approx([0, 0.015 / error])


def test_joint_tolerance_has_bonferronis_correction() -> None:
    assert joint_tolerance(pd.DataFrame({"seeds": [8] * 16})) == pytest.approx(stats.t.ppf(1 - 0.05 / 32, 7))


def test_a_missing_start_lacks_data() -> None:
    results = fan_out_results("fan-out-one-hidden", as_theorem)
    with pytest.raises(LacksDataError, match=r"no start \[1.0, 1.0, 1.0\]"):
        kept(results, starting(1.0, 1.0, 1.0))
    assert [values.mean() for values in lost(results, starting(1.0, 1.0)).values()] == pytest.approx(
        [0.97] * 3, abs=0.001
    )


def test_times_that_follow_the_prediction_or_luck_pass_and_other_times_fail() -> None:
    def results(measured) -> Results:
        rows = []
        for variant, seed, replica in itertools.product(("matrix", "accurate"), SEEDS, range(8)):
            cosine, predicted = -0.4 + 0.1 * replica, 8.0 - replica
            values = {"initial_cosine": cosine, "time_0.9": measured(predicted, seed), "predicted_0.9": predicted}
            rows += [(variant, seed, replica, 0, 0, q, v) for q, v in values.items()]
        columns = ["variant", "seed", "replica", "node", "epoch", "quantity", "value"]
        return Results(
            "two-nodes",
            PROJECT.experiment("two-nodes"),
            "paper",
            pd.DataFrame(rows, columns=columns),
            {},
            {},
            [],
            {},
            {},
        )

    near, twice, reverse = (
        two_nodes(results(measured))
        for measured in (lambda t, s: t * (1.01 + 0.001 * s), lambda t, s: 2 * t + 0.01 * s, lambda t, s: 9 - t)
    )
    assert near.low > 0
    assert twice.high < 0
    assert reverse.high < 0


# --- decision lines --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_lines_end_on_the_edge_and_satisfy_their_equation(seed: int) -> None:
    line = np.random.default_rng(seed).normal(size=3)
    ends = crossings(line)
    corners = np.array(list(itertools.product((-HALF, HALF), repeat=2))) @ line[:2] + line[2]
    assert (ends is not None) == (corners.min() < 0 < corners.max())
    for end in ends or ():
        assert end @ line[:2] + line[2] == pytest.approx(0, abs=1e-9)
        assert np.abs(end).max() == pytest.approx(HALF)
        np.testing.assert_allclose(edge_point(edge_position(end)), end, atol=1e-9)


def test_vertical_lines_and_nodes_without_weights_raise_no_error() -> None:
    up = crossings(np.array([1.0, 0.0, 1.0]))
    assert sorted(map(tuple, up)) == [(-1.0, -HALF), (-1.0, HALF)]
    assert crossings(np.array([0.0, 0.0, 1.0])) is None


def test_labels_never_touch() -> None:
    stream = np.random.default_rng(0)
    for count in (1, 2, 8, 22):
        ends = stream.uniform(0, 8 * HALF, (count, 2)) * (0.1 if count == 8 else 1)  # eight that crowd together
        places, exits = spread(ends.tolist())
        assert all(exit_at in pair for exit_at, pair in zip(exits, ends, strict=True))
        around = np.sort(places % (8 * HALF))
        gaps = np.diff(around, append=around[0] + 8 * HALF)
        assert gaps.min() > 1.9 * GAP


FAULTS = [
    ("fan-out", {"multiplier": 1}, "greater than or equal to 2"),
    ("fan-out", {"widths": [4, 5]}, "at least 3"),
    ("fan-out", {"widths": [1, 5, 6]}, "5 separated nodes cannot all differ with 1 inputs"),
    ("fan-out", {"starts": {"a": [1.0]}}, "start a must have a share for each of the 2 layers, got 1"),
    ("fan-out", {"starts": {}}, "at least 1"),
    ("fan-out", {"snapshots": [5]}, "epoch 5 lies after the last one, 4"),
    ("fan-out", {"gradient": "exact"}, "'matrix' or 'accurate'"),
    ("two-nodes", {"levels": [1.5]}, "less than 1"),
    ("two-nodes", {"inputs": 1}, "greater than or equal to 2"),
    ("decision-lines", {"snapshots": [9]}, "epoch 9 lies after the last one, 4"),
    ("decision-lines", {"teacher_nodes": 30}, "30 separated nodes cannot all differ"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "changes", "message"), FAULTS)
def test_bad_settings_are_refused(kind: str, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_run(kind, **changes)
