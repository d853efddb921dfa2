"""The picture of published curves over ours, compared with a table vertex by vertex."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from test_figures import assert_bands, assert_legend_is_beside, assert_lines, caption, line

from luckmatters.drawing.published import MOST_MARKERS, draw
from luckmatters.drawing.style import LAYER_COLORS, layer_name

DRAW = np.random.default_rng(0)
EPOCHS = 2 * MOST_MARKERS + 3
FAMILY = ["file", "experiment", "variant", "start", "quantity"]
PANELS = [
    ("a-bn.csv", "a", "bn", None, "correlation_192", (0, 1, 2, 3)),
    ("a-bn.csv", "a", "bn", None, "loss", (None,)),
    ("a-bn.csv", "b", "base", None, "mean_rank_192", (0, 3)),
    ("fan.csv", "fan", "m5", "1-0", "matched_norm", (0,)),
    ("fan.csv", "fan", "m5", "1-1", "matched_norm", (0,)),
]
TITLES = [
    "$\\bar\\rho$\na/bn\na-bn.csv", "loss\na/bn\na-bn.csv", "$\\bar r$\nb/base\na-bn.csv",
    "matched norm, start 1-0\nfan/m5\nfan.csv", "matched norm, start 1-1\nfan/m5\nfan.csv",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def table() -> pd.DataFrame:
    """A table whose numbers are all different, with epochs in disorder."""
    rows = [(*family, layer, epoch) for *family, layers in PANELS for layer in layers for epoch in range(EPOCHS)]
    frame = pd.DataFrame(rows, columns=[*FAMILY, "layer", "epoch"]).astype({"layer": "Int64"})
    numbers = {name: DRAW.uniform(0.1, 1, len(frame)) for name in ("ours", "theirs")}
    frame = frame.assign(**numbers, std=DRAW.uniform(0.01, 0.09, len(frame)), teachers="own")
    frame = frame.assign(departure=DRAW.uniform(-40, 40, len(frame)))
    blocks = [block.sample(frac=1, random_state=0) for _, block in frame.groupby(FAMILY, dropna=False, sort=False)]
    return pd.concat(blocks, ignore_index=True)


def curves(rows: pd.DataFrame) -> list[tuple]:
    """Color, marker and points of each curve, the lowest layer first."""
    found = []
    for layer, marker in ((0, "o"), (1, "s"), (2, "^"), (3, "D"), (None, "o")):
        color = "0.15" if layer is None else LAYER_COLORS[layer]
        points = rows[rows["layer"].isna() if layer is None else (rows["layer"] == layer).fillna(False)]
        found += [(color, marker, points.sort_values("epoch"))] if len(points) else []
    return found


def pairs(axes: list[Axes]) -> list[tuple[Axes, Axes]]:
    """Panels with their strips, in the order of the table: four beside each other, strips in the row below."""
    upper, lower, *rest = axes[:4], axes[4:8], *axes[8:]
    return [*zip(upper, lower, strict=True), tuple(rest)]


def test_every_panel_has_ours_with_its_band_and_the_published_points() -> None:
    made = table()
    figure = draw(made, "laptop")
    families = [rows for _, rows in made.groupby(FAMILY, dropna=False, sort=False)]
    for (above, below), rows, title in zip(pairs(figure.axes), families, TITLES, strict=True):
        assert above.get_title(loc="left") == title
        lines, bands, strips, markers = [], [], [line([0, 1], [0, 0], "0.4")], []
        for color, marker, points in curves(rows):
            epoch, ours, std = (points[name].to_numpy() for name in ("epoch", "ours", "std"))
            lines += [line(epoch, ours, color), line(epoch, points["theirs"], "black", "None")]
            bands.append((epoch, ours - std, ours + std, color))
            strips.append(line(epoch, points["departure"], color))
            markers.append((to_hex(color), marker))
        assert_lines(above, lines)
        assert_bands(above, bands)
        assert_lines(below, strips)
        published = [one for one in above.get_lines() if one.get_linestyle() == "None"]
        assert [one.get_marker() for one in published] == [marker for _, marker in markers]
        assert {one.get_markerfacecolor() for one in published} == {"none"}
        assert {one.get_markevery() for one in published} == {3}
        assert [(to_hex(one.get_color()), one.get_marker()) for one in below.get_lines()[1:]] == markers
        (band,) = below.patches
        assert (band.get_y(), band.get_y() + band.get_height()) == (-2, 2)
        low, high = below.get_ylim()
        assert low < rows["departure"].min() < rows["departure"].max() < high
        assert below.get_yscale() == "symlog"
        assert above.get_xlim() == below.get_xlim()
        assert above.get_yscale() == ("log" if rows["quantity"].iloc[0] == "loss" else "linear")


def test_few_points_all_have_a_marker_and_a_missing_unit_leaves_a_gap() -> None:
    made = table().query("epoch < @MOST_MARKERS")
    made.loc[made["layer"] == 3, ["std", "departure"]] = np.nan
    figure = draw(made, "laptop")
    assert {one.get_markevery() for axes in figure.axes for one in axes.get_lines()} == {None, 1}
    above, below = pairs(figure.axes)[0]
    assert np.isnan(below.get_lines()[-1].get_ydata()).all()
    assert np.isfinite(above.get_lines()[-2].get_ydata()).all()


def test_legend_and_caption_name_what_is_drawn() -> None:
    figure = draw(table(), "laptop")
    assert_legend_is_beside(figure)
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:4] == [f"{layer_name(layer)}: ours, published" for layer in range(4)]
    assert texts[4:] == ["whole network: ours, published", "±2 standard errors"]
    handles = [handle for handle in legend.legend_handles if handle is not None]
    assert len(handles) == len(texts)
    assert caption(figure).startswith("Scale laptop. Lines: ours, mean over seeds")
    assert "is not known" not in caption(figure)
    made = table()
    made.loc[made["file"] == "fan.csv", "teachers"] = "unknown"
    assert "How far teachers differ is not known for fan.csv: their departures" in caption(draw(made, "laptop"))


def test_panels_do_not_overlap() -> None:
    figure = draw(table(), "laptop")
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.padded(-1).overlaps(other.padded(-1))
