"""Claims on the theory judged on made-up results whose answers are known."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from luckmatters import kinds
from luckmatters.config import Project
from luckmatters.kinds.luck_speed.claims import found, nodes, passes_sooner, rank_correlation
from luckmatters.ledger import CONTRADICTS, SUPPORTS, UNDECIDED, judge
from luckmatters.tables.results import Results

PROJECT = Project(ROOT, scale="paper")
SEEDS, LAYERS = range(4), range(4)


def results(name: str, rows: list[tuple]) -> Results:
    """rows: (seed, epoch, layer, node, quantity, value)."""
    table = pd.DataFrame(rows, columns=["seed", "epoch", "layer", "node", "quantity", "value"])
    table = table.astype({"layer": "Int64", "node": "Int64"}).assign(variant="base")
    runs = {variant: run for variant, (run, _) in PROJECT.variants(name).items()}
    return Results(name, PROJECT.experiment(name), "paper", table, runs, {"base": {}}, [], {}, {})


def layered(name: str, values: dict) -> Results:
    """values: of each quantity a function of (seed, moment 0 or 1, layer)."""
    return results(
        name,
        [
            (seed, moment, layer, pd.NA, quantity, value(seed, moment, layer))
            for quantity, value in values.items()
            for seed, moment, layer in itertools.product(SEEDS, (0, 1), LAYERS)
        ],
    )


def luck(
    slope: float, *, noise: float = 0.1, standing: float = 2.0, carried: float = 0.6, found: float = 1.0
) -> Results:
    """Nodes whose times fall with initial overlap by a slope; those that take longer than 1.2 never get there."""
    draw, rows = np.random.default_rng(0), []
    for seed, layer, node in itertools.product(SEEDS, LAYERS, range(60)):
        start = draw.uniform(0, 0.6)
        time = 1.5 - slope * start + noise * draw.standard_normal()
        values = {
            "final_overlap": 0.9, "initial_overlap": start, "time_0.9": time if time < 1.2 else np.nan,
            "time_half_way": time,
        }  # fmt: skip
        rows += [(seed, 0.0, layer, node, quantity, value) for quantity, value in values.items()]
    for seed, layer, moment in itertools.product(SEEDS, LAYERS, (0, 1)):
        rows.append((seed, moment, layer, pd.NA, "standing", standing + 0.01 * seed))
        rows.append((seed, moment, layer, pd.NA, "found", found - 0.01 * seed))
        rows.append((seed, moment, layer, pd.NA, "winners_share", 0.1 if moment == 0 else carried + 0.01 * seed))
    return results("luck-speed", rows)


def pairs() -> Results:
    """Nodes of the two-node case whose times are a hundredth longer than predicted."""
    rows = []
    for seed, replica in itertools.product(SEEDS, range(8)):
        predicted = 5.0 - 0.3 * replica
        values = {
            "initial_cosine": 0.1 * replica,
            "time_0.9": (1.01 + 0.001 * seed) * predicted,
            "predicted_0.9": predicted,
        }
        rows += [(seed, 0, 0, 0, quantity, value, replica) for quantity, value in values.items()]
    made = results("two-nodes", [row[:-1] for row in rows])
    made.table["replica"] = [row[-1] for row in rows]
    return made


def small(seed: int) -> float:
    return 1 + 0.01 * seed


SUPPORTING = {
    "gradient-rule": {
        "gradient-rule": layered(
            "gradient-rule",
            {
                "residual": lambda s, m, layer: 1e-14 * small(s),
                "matrix_form_cosine": lambda s, m, layer: 0.9 * small(s),
                "recursive_matrix_form_cosine": lambda s, m, layer: 0.85 * small(s),
            },
        )
    },
    "top-down": {
        name: layered(
            name,
            {
                "beta_star_dominance": lambda s, m, layer: small(s) * (1 + m),
                "h_star_dominance": lambda s, m, layer: small(s) * (1 + 3 * m),
                "h_star_lead": lambda s, m, layer: 0.6 * small(s),
            },
        )
        for name in ("modulation", "modulation-cifar")
    },
    "luck-speed": {"luck-speed": luck(1.0), "two-nodes": pairs()},
    "winner-takes-all": {"luck-speed": luck(1.0)},
}


@pytest.mark.parametrize("name", ["gradient-rule", "top-down", "luck-speed", "winner-takes-all"])
def test_results_as_claimed_support_the_claim(name: str) -> None:
    judgement = judge(name, PROJECT.claims[name], SUPPORTING[name], "paper")
    assert judgement.outcomes == dict.fromkeys(PROJECT.claims[name].checks, SUPPORTS)
    assert judgement.verdict == "supported"


AGAINST = [
    ("gradient-rule", "identity", {"residual": lambda s, m, layer: 1e-9 if (m, layer) == (1, 2) else 1e-15}),
    ("gradient-rule", "direction", {"matrix_form_cosine": lambda s, m, layer: 0.5 if (m, layer) == (0, 3) else 0.99}),
    ("gradient-rule", "direction-recursive", {"recursive_matrix_form_cosine": lambda s, m, layer: -0.9 + m}),
    (
        "top-down",
        "beta-grows",
        {"beta_star_dominance": lambda s, m, layer: small(s) * (2 - m if layer == 1 else 1 + m)},
    ),
    ("top-down", "h-grows", {"h_star_dominance": lambda s, m, layer: small(s) * (4 - m if layer == 0 else 1 + 3 * m)}),
    ("top-down", "h-above-beta", {"h_star_dominance": lambda s, m, layer: small(s) * (0.5 + 1.4 * m)}),
    ("top-down", "h-gains-more", {"h_star_dominance": lambda s, m, layer: small(s) * (3 + 1.5 * m)}),
    ("top-down", "match-leads", {"h_star_lead": lambda s, m, layer: 0.3 if layer == 3 else 1.0}),
]


@pytest.mark.parametrize(("name", "check", "values"), AGAINST, ids=[check for _, check, _ in AGAINST])
def test_one_bad_layer_contradicts_its_check(name: str, check: str, values: dict) -> None:
    good = SUPPORTING[name]
    (experiment, table) = next(iter(good.items()))
    (quantity, value) = next(iter(values.items()))
    rows = table.table[table.table["quantity"] != quantity]
    changed = pd.concat([rows, layered(experiment, {quantity: value}).table])
    bad = Results(experiment, table.experiment, "paper", changed, table.runs, table.labels, [], {}, {})
    judgement = judge(name, PROJECT.claims[name], {**good, experiment: bad}, "paper")
    against = {key for key, outcome in judgement.outcomes.items() if outcome == CONTRADICTS}
    assert against - {"h-gains-more"} <= {check}
    assert check in against
    core = PROJECT.claims[name].checks[check].role == "core"
    assert judgement.verdict == ("mixed" if core else "supported")


def test_luck_that_does_not_matter_or_hurts_does_not_support() -> None:
    for slope, half_way in ((0.0, UNDECIDED), (-1.0, CONTRADICTS)):  # no time is below 1.2, so that nobody passes
        given = {"luck-speed": luck(slope, noise=0.05), "two-nodes": pairs()}
        assert judge("luck-speed", PROJECT.claims["luck-speed"], given, "paper").outcomes == {
            "passes-sooner": CONTRADICTS, "half-way-sooner": half_way, "lucky-pass": CONTRADICTS,
            "two-nodes-predicted": SUPPORTS,
        }  # fmt: skip


def winners(results: Results):
    return judge("winner-takes-all", PROJECT.claims["winner-takes-all"], {"luck-speed": results}, "paper")


def test_a_seed_that_diverges_late_is_counted_and_leaves_its_checks_open() -> None:
    table = luck(1.0)
    last = (table.table["seed"] == 2) & table.table["node"].isna() & (table.table["epoch"] == 1)
    gone = replace(table, table=table.table.assign(value=table.table["value"].mask(last)))
    judgement = winners(gone)
    assert {(effect.seeds, effect.diverged) for effect, _ in judgement.effects.values()} == {(4, 1)}
    assert set(judgement.outcomes.values()) == {UNDECIDED}


def test_a_diverged_seed_has_no_nodes_but_counts() -> None:
    table = luck(1.0)
    gone = (table.table["seed"] == 2) & table.table["node"].notna()
    effect = passes_sooner(replace(table, table=table.table.assign(value=table.table["value"].mask(gone))))
    assert (effect.seeds, effect.diverged, effect.low) == (4, 1, -np.inf)


def test_a_seed_that_found_no_teacher_node_has_no_counts_and_has_not_diverged() -> None:
    table = luck(1.0)
    here = (table.table["seed"] == 2) & (table.table["layer"] == 1) & (table.table["epoch"] == 1)
    values = table.table["value"].mask(here & (table.table["quantity"] == "standing"))
    values = values.mask(here & (table.table["quantity"] == "found"), 0.0)
    effect, outcome = winners(replace(table, table=table.table.assign(value=values))).effects["few"]
    assert (effect.seeds, effect.diverged, outcome) == (3, 0, SUPPORTS)


def test_rank_correlation_equals_scipy_on_pandas_ranks() -> None:
    table = luck(1.0)
    wide = nodes(table).reset_index()
    expected = [
        -part["initial_overlap"].rank().corr(part["time_0.9"].fillna(np.inf).rank())
        for _, part in wide.groupby(["seed", "layer"])
    ]
    by_layer = np.array(expected).reshape(len(SEEDS), len(LAYERS)).mean(axis=0)
    assert passes_sooner(table).estimate == pytest.approx(by_layer.min())


def test_equal_times_of_all_nodes_have_no_rank_correlation() -> None:
    layer = pd.DataFrame(
        {"initial_overlap": [0.1, 0.4, 0.2], "never": np.nan, "together": 3.0, "apart": [9.0, 1.0, 5.0]}
    )
    assert [rank_correlation(layer, time) for time in ("never", "together")] == [0, 0]
    assert rank_correlation(layer, "apart") == pytest.approx(-1)


def test_renumbering_nodes_changes_no_effect() -> None:
    table = luck(0.7)
    shuffled = table.table.copy()
    shuffled["node"] = (shuffled["node"] * 7 + 3) % 60
    renumbered = Results("luck-speed", table.experiment, "paper", shuffled, table.runs, table.labels, [], {}, {})
    for evidence in kinds.evidence()["luck-speed"].values():
        if evidence.experiment == "luck-speed":
            assert evidence(renumbered) == evidence(table)


def test_many_standing_students_or_weak_winners_contradict() -> None:
    judgement = winners(luck(1.0, standing=5.0, carried=0.3, found=0.4))
    assert judgement.outcomes == {
        "found": CONTRADICTS, "few": CONTRADICTS, "winners-carry": CONTRADICTS, "concentrates": SUPPORTS,
    }  # fmt: skip
    assert judgement.effects["few"][0].estimate == pytest.approx(-5.015)
    assert judgement.effects["winners-carry"][0].estimate == pytest.approx(0.315)
    assert (judgement.verdict, winners(luck(1, standing=5)).verdict) == ("contradicted", "mixed")
    assert found(luck(1.0, found=0.6)).low > 0.5
