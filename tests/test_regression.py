"""The ci-scale numbers against data/reference/ci, within measured tolerances."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, Checkout

from luckmatters.artefacts import reference_file, summary_file
from luckmatters.config import Project
from luckmatters.regression import FLOOR, MARGIN, departures, differences

PROJECT = Project(ROOT, scale="ci")
SPREAD = pd.read_csv(ROOT / "data" / "reference" / "ci" / "spread.csv")


@pytest.mark.parametrize("name", list(PROJECT.experiments))
def test_numbers_have_not_changed(name: str, finished: Checkout) -> None:
    reference = pd.read_csv(ROOT / reference_file("ci", name))
    new = pd.read_csv(finished.folder / summary_file(PROJECT.figures, name))
    spread = SPREAD[SPREAD["experiment"] == name].set_index(["variant", "quantity"])["difference"]
    assert {*zip(reference["variant"], reference["quantity"], strict=True)} == {*spread.index}
    found = departures(reference, new, spread)
    assert found.empty, f"changed on purpose? make reference\n{found.to_string()}"


def test_every_reference_belongs_to_an_experiment() -> None:
    files = {path.stem for path in (ROOT / "data" / "reference" / "ci").glob("*.csv")}
    assert files == {*PROJECT.experiments, "spread"}


def test_the_tolerances_would_notice_a_change() -> None:
    """In most variants a change of a tenth of what training brings would not pass for rounding."""
    noticed = []
    for name in ("gaus-fc", "gaus-conv", "cifar-fc", "cifar-conv", "over-param", "teacher-size", "separation"):
        reference = pd.read_csv(ROOT / reference_file("ci", name)).query("quantity == 'correlation'")
        spread = SPREAD.query("quantity == 'correlation'").set_index(["experiment", "variant"])["difference"]
        for variant, rows in reference.groupby("variant"):
            level = rows.groupby("epoch")["mean"].mean()
            noticed.append(MARGIN * spread[name, variant] + FLOOR < (level.iloc[-1] - level.iloc[0]) / 10)
    assert np.mean(noticed) > 0.5


def table(values: list[float], seeds: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {"variant": "a", "epoch": range(len(values)), "layer": 0, "quantity": "loss", "mean": values, "seeds": seeds}
    )


def test_differences_are_relative_for_large_values_and_absolute_for_small() -> None:
    assert differences(table([0.1, 100.0]), table([0.2, 101.0]))["difference"].tolist() == pytest.approx([0.1, 0.01])


def test_missing_rows_values_and_seeds_always_count_as_a_change() -> None:
    assert np.isinf(differences(table([1.0, 2.0]), table([1.0]))["difference"]).sum() == 1
    assert np.isinf(differences(table([1.0]), table([np.nan]))["difference"]).all()
    assert np.isinf(differences(table([1.0]), table([1.0], seeds=2))["difference"]).all()
    assert differences(table([np.nan]), table([np.nan]))["difference"].tolist() == [0]


def spread(difference: float) -> pd.Series:
    return pd.Series({("a", "loss"): difference})


def test_departures_are_those_beyond_the_tolerance() -> None:
    one, other = table([1.0, 1.0]), table([1.0 + 3e-5, 1.0 + 6e-5])
    assert departures(one, other, spread(4e-6))["epoch"].tolist() == [1]
    assert len(departures(one, other, spread(0.0))) == 2
    assert len(departures(one, other, pd.Series(dtype=float))) == 2
