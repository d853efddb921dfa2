"""The layouts flat-minima and node-removal, drawn from made-up results and compared with means taken in one line."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from test_figures import _closed, draw, made  # noqa: F401

from luckmatters.drawing.style import LAYER_COLORS, NETWORK_COLOR
from luckmatters.kinds.flat_minima.figure import EARLY, LINES
from luckmatters.kinds.node_removal.figure import APART, LOOKS
from luckmatters.settings.experiment import Run
from luckmatters.tables.results import Results

SEEDS, LAYERS, GROUPS = range(4), range(4), tuple(LINES)


def points(axes: Axes) -> list[tuple]:
    """The lines with error bars: x, y, colour and marker."""
    found = []
    for container in axes.containers:
        line = container.lines[0]
        found.append((*(np.asarray(d, float) for d in line.get_data()), to_hex(line.get_color()), line.get_marker()))
    return found


def assert_points(axes: Axes, expected: list[tuple]) -> None:
    """The panel has these lines, whatever their order, and no others."""
    found = points(axes)
    assert len(found) == len(expected)
    for x, y, color, marker in expected:
        assert any(
            (to_hex(color), marker) == other[2:] and np.allclose(x, other[0]) and np.allclose(y, other[1])
            for other in found
        ), (x, y, color, marker, found)


def flat(run: Run) -> dict[str, dict]:
    early, last = run.settings.early_epoch, run.trained.settings.training.epochs
    spectrum = {"seed": SEEDS, "epoch": (early, last)}
    quantities = {"flat_0.001": spectrum, "parameters": spectrum}
    if run.trained.settings.student.multiplier > 1:
        layered = {"seed": SEEDS, "layer": LAYERS, "group": GROUPS}
        changes = {**layered, "epoch": (early, last), "radius": run.settings.radii}
        quantities |= {"moved": changes, "loss_ratio": changes}
        followed = {**layered, "epoch": (0, early, last)}
        quantities |= {"fan_out": followed, "teacher_distance": followed}
        quantities["start_distance"] = {**layered, "epoch": (last,)}
    return quantities


def panels(results: Results) -> list[Axes]:
    return draw(results).axes


def test_flat_minima_shows_means_of_the_widest_students_layer_by_layer() -> None:
    results = made("flat-minima", flat)
    axes, table = panels(results), results.table[results.table["variant"] == "m10"]
    markers = {"irrelevant": "o", "lucky": "s"}
    for row, quantity in enumerate(("moved", "loss_ratio")):
        for layer in LAYERS:
            rows = table[(table["quantity"] == quantity) & (table["layer"] == layer)]
            means = np.exp(np.log(rows["value"]).groupby([rows["group"], rows["epoch"], rows["radius"]]).mean())
            expected = [
                (means[group, epoch].index, means[group, epoch], color, markers[group])
                for group in GROUPS
                for epoch, color in ((1, EARLY), (100, LAYER_COLORS[layer]))
            ]
            assert_points(axes[4 * row + layer], expected)
    for place, quantity, epochs in ((10, "teacher_distance", (0, 100)), (11, "start_distance", (100,))):
        means = table[table["quantity"] == quantity].groupby(["group", "epoch", "layer"])["value"].mean()
        expected = [
            ([layer + (0.12 if group == "lucky" else -0.12)], [means[group, epoch, layer]], color, markers[group])
            for group in GROUPS
            for epoch in epochs
            for layer in LAYERS
            for color in [EARLY if epoch == 0 else LAYER_COLORS[layer]]
        ]
        assert_points(axes[place], expected)


def test_flat_minima_shows_the_spectrum_by_multiplier() -> None:
    results = made("flat-minima", flat)
    axes, sizes = panels(results), [1, 2, 5, 10]
    wide = results.table.pivot_table(index=["variant", "epoch", "seed"], columns="quantity", values="value")
    wide["others"] = (1 - wide["flat_0.001"]) * wide["parameters"]
    means = wide.groupby(["variant", "epoch"]).mean()
    for place, quantity in ((8, "flat_0.001"), (9, "others")):
        expected = [
            (sizes, [means.loc[(f"m{size}", epoch), quantity] for size in sizes], color, "o")
            for epoch, color in ((1, EARLY), (100, NETWORK_COLOR))
        ]
        assert_points(axes[place], expected)


@pytest.mark.parametrize(("size", "words"), [(1e-4, "hardly move"), (0.1, "do move")])
def test_the_title_of_flat_minima_says_what_is_found(size: float, words: str) -> None:
    results = made("flat-minima", flat)
    table = results.table
    wanted = (table["quantity"] == "moved") & (table["epoch"] == 100)
    table.loc[wanted, "value"] = np.where(table.loc[wanted, "group"] == "lucky", 0.5, size)
    # What is moved by other changes than those by the nodes' own length says nothing.
    table.loc[wanted & (table["radius"] != 1), "value"] = 0.03
    title = draw(results).legends[0].get_title().get_text()
    assert words in title
    assert f"by {size:.2g} of its variance" in title
    assert title.endswith("lucky nodes by 0.5")


def removal(run: Run) -> dict[str, dict]:
    axes = {"seed": SEEDS, "epoch": run.settings.epochs, "branch": ("removed", "fine-tuned")}
    return {"loss": {**axes, "group": [*run.settings.criteria, "whole"], "kept": [*run.settings.kept, 10.0]}}


def test_node_removal_shows_losses_over_the_whole_networks() -> None:
    results = made("node-removal", removal)
    table = results.table[(results.table["group"] == "whole") == (results.table["kept"] == 10)]
    results = replace(results, table=table)
    figure, run = draw(results), results.runs["base"]
    wide = np.log(table.set_index(["branch", "epoch", "group", "kept", "seed"])["value"]).sort_index()
    sizes = np.array(run.settings.kept)
    for place, axes in enumerate(figure.axes):
        branch, epoch = ("removed", "fine-tuned")[place // 5], run.settings.epochs[place % 5]
        expected = []
        for number, criterion in enumerate(run.settings.criteria):
            ratios = [
                np.exp((wide[branch, epoch, criterion, size] - wide[branch, epoch, "whole", 10]).mean())
                for size in sizes
            ]
            expected.append((sizes * APART ** (number - 1.5), ratios, *LOOKS[criterion][1:]))
        assert_points(axes, expected)
    ratios = [
        np.exp((wide[branch, 100, "fan-out", 1.0] - wide[branch, 100, "whole", 10.0]).mean())
        for branch in ("removed", "fine-tuned")
    ]
    title = figure.legends[0].get_title().get_text()
    assert "{:.3g} times the whole network's loss, {:.3g} times after".format(*ratios) in title
