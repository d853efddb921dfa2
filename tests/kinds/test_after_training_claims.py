"""Claims on flat minima and on removed nodes, judged on made-up results whose answers are known."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from luckmatters import kinds
from luckmatters.config import Project
from luckmatters.ledger import CONTRADICTS, SUPPORTS, outcome
from luckmatters.tables.results import Results

PROJECT = Project(ROOT, scale="paper")
SEEDS, LAYERS = range(6), range(4)
EVIDENCE = kinds.evidence()


def results(name: str, frames: list[pd.DataFrame]) -> Results:
    runs = {variant: run for variant, (run, _) in PROJECT.variants(name).items()}
    table = pd.concat(frames, ignore_index=True)
    return Results(name, PROJECT.experiment(name), "paper", table, runs, {v: {} for v in runs}, [], {}, {})


def frame(quantity: str, value: Callable[..., float], variant: str, **axes: object) -> pd.DataFrame:
    """Rows of a quantity: value(**labels) plus a little that differs by seed."""
    axes = {"seed": SEEDS, **axes}
    rows = [dict(zip(axes, labels, strict=True)) for labels in itertools.product(*axes.values())]
    values = [value(**{key: row[key] for key in row if key != "seed"}) * (1 + 0.001 * row["seed"]) for row in rows]
    return pd.DataFrame(rows).assign(quantity=quantity, variant=variant, value=values)


def verdict(claim: str, check: str, on: Results) -> str:
    return outcome(EVIDENCE[claim][check](on), PROJECT.claims[claim].checks[check], min_seeds=5)


GROUPS = ("lucky", "irrelevant")


def flat(
    *,
    irrelevant: Callable[[int, int], float] = lambda epoch, layer: 1e-3 if epoch == 100 else 0.5,
    lucky: float = 0.4,
    shares: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8),
    loss: float = 1.01,
    distance: tuple[float, float, float] = (0.6, 0.6, 0.1),
) -> Results:
    """irrelevant, lucky: moved at radius 1; shares: near zero at m = 1, 2, 5, 10; loss: ratio at radius 0.1.

    distance: of irrelevant nodes to a teacher node before and after training, and of lucky nodes after training.
    """
    layered = {"epoch": (1, 100), "layer": LAYERS, "group": GROUPS}

    def moved(epoch: int, layer: int, group: str, radius: float) -> float:
        if radius != 1:
            return 7.0
        return irrelevant(epoch, layer) if group == "irrelevant" else lucky

    def ratio(epoch: int, layer: int, group: str, radius: float) -> float:
        return loss if (epoch, group, radius) == (100, "irrelevant", 0.1) else 9.0

    def teacher(epoch: int, layer: int, group: str) -> float:
        return distance[2] if group == "lucky" else distance[epoch > 0]

    frames = [
        frame("moved", moved, "m10", **layered, radius=(0.1, 1.0)),
        frame("loss_ratio", ratio, "m10", **layered, radius=(0.1, 1.0)),
        frame("teacher_distance", teacher, "m10", epoch=(0, 1, 100), layer=LAYERS, group=GROUPS),
        frame(
            "start_distance", lambda epoch, layer, group: 0.2 + 0.5 * (group == "lucky"), "m10",
            epoch=(100,), layer=LAYERS, group=GROUPS,
        ),
    ]  # fmt: skip
    for size, share in zip((1, 2, 5, 10), shares, strict=True):
        spectrum = frame(
            "flat_0.001", lambda epoch, share=share: share if epoch == 100 else 0.9, f"m{size}", epoch=(1, 100)
        )
        frames += [spectrum, frame("flat_0.01", lambda epoch: 0.1, f"m{size}", epoch=(1, 100))]
    return results("flat-minima", frames)


@pytest.mark.parametrize(
    ("check", "changes", "expected"),
    [
        ("irrelevant-flat", {}, SUPPORTS),
        # A single layer that moves the output is enough.
        ("irrelevant-flat", {"irrelevant": lambda epoch, layer: 0.05 if layer == 2 else 1e-5}, CONTRADICTS),
        ("irrelevant-flat", {"irrelevant": lambda epoch, layer: 0.0}, SUPPORTS),
        ("lucky-steep", {}, SUPPORTS),
        ("lucky-steep", {"lucky": 5e-3}, CONTRADICTS),
        ("loss-flat", {}, SUPPORTS),
        ("loss-flat", {"loss": 1.2}, CONTRADICTS),
        ("flat-since", {}, SUPPORTS),
        ("flat-since", {"irrelevant": lambda epoch, layer: 1e-3 if epoch == 1 else 2e-3}, CONTRADICTS),
        ("spectrum-widens", {}, SUPPORTS),
        ("spectrum-widens", {"shares": (0.5, 0.7, 0.6, 0.8)}, CONTRADICTS),
        ("no-teacher", {}, SUPPORTS),
        ("no-teacher", {"distance": (0.6, 0.1, 0.6)}, CONTRADICTS),
        ("anywhere", {}, SUPPORTS),
        ("anywhere", {"distance": (0.6, 0.5, 0.1)}, CONTRADICTS),
        ("away-from-start", {}, CONTRADICTS),
    ],
)
def test_flat_minima(check: str, changes: dict, expected: str) -> None:
    assert verdict("flat-minima", check, flat(**changes)) == expected


def test_effects_of_flat_minima_are_in_digits() -> None:
    effect = EVIDENCE["flat-minima"]["irrelevant-flat"](flat())
    assert effect.estimate == pytest.approx(3, abs=0.01)
    effect = EVIDENCE["flat-minima"]["lucky-steep"](flat())
    assert effect.estimate == pytest.approx(np.log10(400), abs=0.01)


def removed(ratios: Callable[..., float]) -> Results:
    """Losses of what is left, over the whole network's loss, which differs by seed, epoch and branch."""
    axes = {"branch": ("removed", "fine-tuned"), "epoch": (1, 100)}

    def whole(branch: str, epoch: int, kept: float = 10.0, group: str = "whole") -> float:
        return {"removed": 0.02, "fine-tuned": 0.01}[branch] / epoch

    def left(branch: str, epoch: int, kept: float, group: str) -> float:
        return whole(branch, epoch) * ratios(branch=branch, epoch=epoch, kept=kept, group=group)

    sizes, groups = (1.0, 1.5, 2.0, 3.0, 5.0), ("fan-out", "overlap", "random")
    frames = [
        frame("loss", whole, "base", **axes, kept=(10.0,), group=("whole",)),
        frame("loss", left, "base", **axes, kept=sizes, group=groups),
    ]
    return results("node-removal", frames)


def ratio(**exceptions: float) -> Callable[..., float]:
    """Nothing is lost, but by nodes kept at random and before the end, and where exceptions say so."""

    def of(branch: str, epoch: int, kept: float, group: str) -> float:
        for name, value in exceptions.items():
            if name == f"{branch}_{group}_{kept:g}_{epoch}".replace("-", ""):
                return value
        return 3.0 if group == "random" or epoch == 1 else 1.02

    return of


@pytest.mark.parametrize(
    ("check", "exception"),
    [
        ("removed", {"removed_fanout_1_100": 1.2}),
        ("fine-tuned", {"finetuned_fanout_1_100": 1.2}),
        ("removed-larger", {"removed_fanout_5_100": 1.2}),
        ("fine-tuned-larger", {"finetuned_fanout_2_100": 1.2}),
        ("by-overlap", {"finetuned_overlap_1_100": 1.2}),
        ("beats-random", {"finetuned_random_1_100": 1.0}),
        ("with-time", {"removed_fanout_1_1": 1.0}),
    ],
)
def test_removable_says_no_where_the_one_number_is_worse(check: str, exception: dict[str, float]) -> None:
    assert verdict("removable", check, removed(ratio())) == SUPPORTS
    found = verdict("removable", check, removed(ratio(**exception)))
    assert found == CONTRADICTS
    others = [other for other in EVIDENCE["removable"] if other not in (check, "with-time")]
    assert all(verdict("removable", other, removed(ratio(**exception))) == SUPPORTS for other in others)


def test_a_diverged_fine_tuning_cannot_support() -> None:
    broken = removed(ratio())
    table = broken.table
    table.loc[(table["branch"] == "fine-tuned") & (table["group"] == "fan-out") & (table["seed"] == 0), "value"] = (
        np.nan
    )
    assert verdict("removable", "fine-tuned", broken) != SUPPORTS
