"""Curves of single seeds as data of a page, from constructed tables."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from luckmatters.report import explorer
from luckmatters.report.explorer import MOST_EPOCHS, curves, to_json


def rows(value, epochs=range(4), **columns: object) -> pd.DataFrame:
    """Rows of two seeds: value(seed, epoch) at every epoch."""
    table = pd.DataFrame([(seed, epoch, value(seed, epoch)) for seed in (0, 7) for epoch in epochs])
    table.columns = ["seed", "epoch", "value"]
    return table.assign(**{"variant": "bn", "layer": 1, "quantity": "loss"} | columns).astype({"layer": "Int64"})


def results(*tables: pd.DataFrame) -> SimpleNamespace:
    labels = {"bn": {"batch-norm": "bn"}, "base": {}}
    figure = SimpleNamespace(labels={})
    return SimpleNamespace(table=pd.concat(tables), labels=labels, experiment=SimpleNamespace(figure=figure))


def test_every_seed_has_its_own_values() -> None:
    found = curves(results(rows(lambda seed, epoch: seed + epoch / 3)))
    assert found["curves"] == {
        "loss": {
            "with BatchNorm (bn)": {
                "1": {"epochs": [0, 1, 2, 3], "seeds": {"0": [0, 0.3333, 0.6667, 1], "7": [7, 7.333, 7.667, 8]}}
            }
        }
    }


def test_rows_of_nodes_are_averaged_and_ranks_left_out() -> None:
    nodes = [rows(lambda seed, epoch, node=node: epoch + node, node=node) for node in (0, 1)]
    ranked = rows(lambda seed, epoch: 99, rank=3)
    found = curves(results(*nodes, ranked))["curves"]["loss"]["with BatchNorm (bn)"]["1"]
    assert found["seeds"]["0"] == [0.5, 1.5, 2.5, 3.5]


def test_the_whole_network_is_the_layer_without_a_name_and_branches_are_pictures_of_their_own() -> None:
    whole = rows(lambda seed, epoch: 1.0, layer=pd.NA, branch="rewound", variant="base")
    found = curves(results(whole, rows(lambda seed, epoch: 2.0, branch="dense", variant="base")))["curves"]["loss"]
    assert {group: list(layers) for group, layers in found.items()} == {"base · rewound": [""], "base · dense": ["1"]}


def test_a_seed_without_a_value_is_a_gap() -> None:
    found = curves(results(rows(lambda seed, epoch: np.nan if (seed, epoch) == (7, 2) else 1.0)))
    assert found["curves"]["loss"]["with BatchNorm (bn)"]["1"]["seeds"] == {"0": [1, 1, 1, 1], "7": [1, 1, None, 1]}


def test_few_epochs_are_no_curve_and_neither_are_ranks_alone() -> None:
    assert curves(results(rows(lambda seed, epoch: 1.0, rank=3))) is None
    assert curves(results(rows(lambda seed, epoch: 1.0, epochs=(0, 1)))) is None
    assert curves(results(rows(lambda seed, epoch: 1.0).drop(columns="epoch"))) is None


def test_long_curves_keep_both_ends_and_exact_epochs() -> None:
    epochs = range(0, 20_000, 100)
    found = curves(results(rows(lambda seed, epoch: epoch / 20_000, epochs=epochs)))["curves"]["loss"]
    kept = found["with BatchNorm (bn)"]["1"]["epochs"]
    assert (kept[0], kept[-1], len(kept)) == (0, 19_900, MOST_EPOCHS)
    assert set(kept) <= set(epochs)
    assert np.ptp(np.diff(kept)) <= 100


def test_what_would_make_a_page_too_large_is_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "MOST_NUMBERS", 10)
    found = curves(results(rows(lambda seed, epoch: 1.0), rows(lambda seed, epoch: 2.0, quantity="accuracy")))
    assert list(found["curves"]) == ["loss"]
    assert found["left_out"] == ["accuracy"]


def test_the_data_cannot_end_the_element_that_they_stand_in() -> None:
    text = to_json({"</script><b>": [None, 0.5]})
    assert "</" not in text
    assert json.loads(text) == {"</script><b>": [None, 0.5]}
