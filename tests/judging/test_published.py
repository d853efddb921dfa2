"""Published curves beside ours: every number of a constructed table, by hand."""

import numpy as np
import pandas as pd
import pytest

from luckmatters.judging.published import compared, curve_summary
from luckmatters.settings.published import PublishedCurves

OWN, ONE = PublishedCurves(seeds=32, teachers=32), PublishedCurves(seeds=5, teachers=1)


def levels(*rows: tuple) -> pd.DataFrame:
    """Published levels: quantity, layer, epoch, value."""
    table = pd.DataFrame(rows, columns=["quantity", "layer", "epoch", "value"])
    return table.assign(uncertainty=0.03, status="ok")


def moments(*rows: tuple, std: float = 0.04, seeds: int = 4) -> pd.DataFrame:
    """A summary: quantity, layer, epoch, mean."""
    table = pd.DataFrame(rows, columns=["quantity", "layer", "epoch", "mean"])
    return table.assign(variant="ours", std=std, seeds=seeds).astype({"layer": "Int64"})


THEIRS = levels(
    ("rho", 0, 0, 0.5), ("rho", 0, 1, 0.7), ("rho", 0, 2, np.nan), ("rho", 0, 3, 0.8), ("rho", 0, 40, 0.9),
    ("rho", 1, 1, 0.6), ("loss", None, 1, 2.0), ("other", 0, 1, 0.1),
)  # fmt: skip
OURS = moments(
    ("rho", 0, 0, 0.5), ("rho", 0, 1, 0.8), ("rho", 0, 2, 0.9), ("rho", 0, 3, np.nan), ("rho", 0, 0.5, 0.6),
    ("rho", 1, 1, 0.5),
    ("loss", None, 1, 1.5), ("mine", 0, 1, 0.2),
)  # fmt: skip


def units(source: PublishedCurves, *, own: bool, spread: pd.DataFrame | None = None, **ours) -> list[float]:
    table = compared(OURS.assign(**ours), THEIRS, source, own_teachers=own, spread=spread)
    assert ((table["ours"] - table["theirs"]) / table["unit"]).tolist() == pytest.approx(
        table["departure"].tolist(), nan_ok=True
    )
    return table["unit"].tolist()


def test_only_levels_that_are_published_and_measured_are_compared() -> None:
    """No hidden level, no epoch that we did not run or whose seeds all diverged, no quantity that we do not measure."""
    table = compared(OURS, THEIRS, OWN, own_teachers=True)
    found = table.astype({"layer": object}).where(table.notna(), None)
    assert found[["quantity", "layer", "epoch", "ours", "theirs", "published"]].to_numpy().tolist() == [
        ["rho", 0, 0, 0.5, 0.5, 4], ["rho", 0, 1, 0.8, 0.7, 4], ["rho", 1, 1, 0.5, 0.6, 1],
        ["loss", None, 1, 1.5, 2.0, 1],
    ]  # fmt: skip


def test_own_teachers_are_part_of_the_spread_over_seeds() -> None:
    assert units(OWN, own=True) == pytest.approx([(0.04**2 * (1 / 4 + 1 / 32) + 0.03**2) ** 0.5] * 4)
    # Five students of one teacher are one draw of a teacher.
    assert units(ONE, own=True) == pytest.approx([(0.04**2 * (1 / 4 + 1) + 0.03**2) ** 0.5] * 4)
    assert set(compared(OURS, THEIRS, OWN, own_teachers=True)["teachers"]) == {"own"}


def test_one_teacher_on_each_side_has_the_measured_spread_of_teachers() -> None:
    """Interpolated between epochs; without it only the spread over seeds counts, and the table says so."""
    spread = moments(("rho", 0, 0, 0), ("rho", 0, 2, 0), ("loss", None, 0, 0)).assign(std=[0.1, 0.3, 0.5])
    table = compared(OURS, THEIRS, ONE, own_teachers=False, spread=spread)
    unknown = (0.04**2 * (1 / 4 + 1 / 5) + 0.03**2) ** 0.5
    measured = [(2 * std**2 + 0.03**2) ** 0.5 for std in (0.1, 0.2, 0.5)]
    assert table["unit"].tolist() == pytest.approx([*measured[:2], unknown, measured[2]])
    assert table["teachers"].tolist() == ["measured", "measured", "unknown", "measured"]
    assert units(ONE, own=False) == pytest.approx([unknown] * 4)
    many = PublishedCurves(seeds=32, teachers=32)  # theirs many teachers, ours one
    assert units(many, own=False, spread=spread)[0] == pytest.approx((0.1**2 * (1 + 1 / 32) + 0.03**2) ** 0.5)


def test_a_single_seed_has_no_unit_unless_the_spread_is_measured_elsewhere() -> None:
    assert np.isnan(units(OWN, own=True, std=np.nan, seeds=1)).all()
    spread = moments(("rho", 0, 0, 0)).assign(std=0.1)
    assert np.isfinite(units(ONE, own=False, spread=spread, std=np.nan, seeds=1)).tolist() == [True, True, False, False]
    summary = curve_summary(compared(OURS.assign(std=np.nan, seeds=1), THEIRS, OWN, own_teachers=True))
    assert summary["points"].tolist() == [2, 1, 1]
    assert summary[["within", "greatest", "at"]].isna().all(axis=None)


def test_a_curve_has_its_share_its_greatest_departure_and_its_coverage() -> None:
    table = compared(OURS, THEIRS, OWN, own_teachers=True).assign(departure=[-2.01, 2.0, 0.0, -7.0])
    found = curve_summary(table)
    assert found["quantity"].tolist() == ["rho", "rho", "loss"]
    assert found["layer"].fillna(-1).tolist() == [0, 1, -1]
    assert found["points"].tolist() == [2, 1, 1]
    assert found["coverage"].tolist() == pytest.approx([2 / 4, 1, 1])
    assert found["within"].tolist() == [0.5, 1, 0]
    assert found["greatest"].tolist() == [-2.01, 0, -7]
    assert found["at"].tolist() == [0, 1, 1]


def test_starts_are_curves_of_their_own() -> None:
    theirs = pd.concat([THEIRS[:2].assign(start=start, seeds=32) for start in ("1-0", "1-1")])
    ours = pd.concat([OURS[:2].assign(start=start, mean=mean) for start, mean in (("1-0", 0.5), ("1-1", 0.6))])
    table = compared(ours, theirs, OWN, own_teachers=True)
    assert table[["start", "ours"]].to_numpy().tolist() == [["1-0", 0.5], ["1-0", 0.5], ["1-1", 0.6], ["1-1", 0.6]]
    assert curve_summary(table)["start"].tolist() == ["1-0", "1-1"]
