"""Every layout, drawn from results whose numbers are all different, and compared with them line by line."""

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from conftest import ROOT
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from scipy import stats

from luckmatters import kinds
from luckmatters.config import Project
from luckmatters.drawing.style import LAYER_COLORS, label_name, layer_name, title
from luckmatters.kinds.lottery.figures.branches import LOOKS
from luckmatters.kinds.lottery.figures.lottery_luck import OTHERS
from luckmatters.settings.experiment import Run
from luckmatters.tables.results import Results

PROJECTS = {scale: Project(ROOT, scale=scale) for scale in ("paper", "ci")}
SEEDS, EPOCHS, LAYERS = range(3), range(4), range(4)
LAYERED = {"seed": SEEDS, "epoch": EPOCHS, "layer": LAYERS}
COLUMNS = ["variant", "branch", "start", "seed", "replica", "epoch", "layer", "node", "rank", "quantity", "value"]
DRAW = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def made(name: str, quantities: Callable[[Run], dict[str, dict]], *, scale: str = "paper", **others) -> Results:
    """Results of an experiment with random numbers; quantities: of each the values of its columns, by run."""
    project, frames = PROJECTS[scale], []
    variants = project.variants(name)
    for variant, (run, labels) in variants.items():
        for quantity, axes in quantities(run).items():
            index = pd.MultiIndex.from_product(axes.values(), names=axes)
            frame = pd.DataFrame({"value": DRAW.uniform(0.1, 1, len(index))}, index).reset_index()
            frames.append(frame.assign(variant=variant, quantity=quantity, **labels))
    table = pd.concat(frames, ignore_index=True)
    table = table.reindex(columns=list(dict.fromkeys([*(c for c in COLUMNS if c in table or c == "node"), *table])))
    table = table.astype({column: "Int64" for column in ("layer", "node", "rank") if column in table})
    return Results(
        name,
        project.experiment(name),
        scale,
        table,
        {variant: run for variant, (run, _) in variants.items()},
        {variant: labels for variant, (_, labels) in variants.items()},
        [(variant, {"data": "made up", "diverged": {}}) for variant in variants],
        {},
        {},
        **others,
    )


def only(results: Results, **labels: tuple[str, ...]) -> Results:
    """The variants with these labels of an axis."""
    kept = {
        variant: its for variant, its in results.labels.items()
        if all(its[axis.replace("_", "-")] in some for axis, some in labels.items())
    }  # fmt: skip
    return replace(
        results,
        table=results.table[results.table["variant"].isin(kept)],
        runs={variant: results.runs[variant] for variant in kept},
        labels=kept,
    )


def draw(results: Results) -> Figure:
    layout = kinds.load(kinds.figure_name(results.experiment.figure.layout))
    return layout.draw(results, results.published)


def caption(figure: Figure) -> str:
    return " ".join(figure.get_supxlabel().split())


def values(results: Results, quantity: str, **where) -> pd.DataFrame:
    """Rows of a quantity, without NaN."""
    table = results.table
    wanted = (
        np.all([(table[column] == value).fillna(False) for column, value in where.items()], axis=0)
        & table["value"].notna()
    )
    return table[wanted & (table["quantity"] == quantity)]


def line(x, y, color, style: str = "-") -> tuple:
    """A line as it is compared."""
    return np.asarray(x, float), np.asarray(y, float), to_hex(color), style


def over(rows: pd.DataFrame, column: str, color, style: str = "-", *, scale: float = 1) -> tuple:
    """The line of means."""
    mean = rows.groupby(column)["value"].mean()
    return line(mean.index.to_numpy(float) * scale, mean, color, style)


def assert_lines(axes: Axes, expected: list[tuple]) -> None:
    """The panel has these lines, whatever their order, and no others."""
    found = []
    for one in axes.get_lines():
        style = one.get_linestyle()
        found.append(line(*one.get_data(), one.get_markeredgecolor() if style == "None" else one.get_color(), style))

    def same(one: tuple, other: tuple) -> bool:
        return (
            one[2:] == other[2:]
            and one[0].shape == other[0].shape
            and all(np.allclose(a, b, atol=1e-9, equal_nan=True) for a, b in zip(one[:2], other[:2], strict=True))
        )

    for one in expected:
        match = next((index for index, other in enumerate(found) if same(one, other)), None)
        assert match is not None, f"{axes.get_title('left')} {axes.get_title()}: no line {one} among {found}"
        found.pop(match)
    assert not found, f"{axes.get_title('left')} {axes.get_title()}: lines that nobody asked for: {found}"


def assert_bands(axes: Axes, expected: list[tuple]) -> None:
    """The panel has these bands (x, low, high, color), vertex by vertex."""

    def corners(points: np.ndarray) -> list:
        return np.unique(np.round(points.astype(float), 9), axis=0).tolist()

    found = [(to_hex(one.get_facecolor()[0]), corners(one.get_paths()[0].vertices)) for one in axes.collections]
    wanted = [
        (to_hex(color), corners(np.concatenate([np.c_[x, low], np.c_[x, high]]))) for x, low, high, color in expected
    ]
    assert sorted(found) == sorted(wanted)


def t_interval(values: np.ndarray) -> tuple[float, float, float]:
    mean = np.mean(values)
    return mean, *stats.t.interval(0.95, len(values) - 1, mean, stats.sem(values))


def assert_points(axes: Axes, expected: list[tuple], *, aside: float = 1e-9) -> None:
    """The panel has these points with error bars (y, low, high, color, x), and no others; x may be off by a share."""
    found = []
    for container in axes.containers:
        data, _, (bars,) = container.lines
        for x, y, ends in zip(*data.get_data(), bars.get_segments(), strict=True):
            found.append((y, *np.sort(ends[:, 1]), to_hex(data.get_color()), float(x)))
    found, expected = sorted(found), sorted(expected)
    assert [one[3] for one in found] == [to_hex(one[3]) for one in expected]
    np.testing.assert_allclose([one[:3] for one in found], [one[:3] for one in expected], atol=1e-9)
    np.testing.assert_allclose([one[4] for one in found], [one[4] for one in expected], rtol=aside, atol=1e-9)


def legend(figure: Figure) -> dict[str, tuple[str, str]]:
    """Color and line style of each entry."""
    (one,) = figure.legends
    entries = zip(one.get_texts(), one.legend_handles, strict=True)
    return {text.get_text(): (to_hex(handle.get_color()), handle.get_linestyle()) for text, handle in entries}


def assert_legend_is_beside(figure: Figure) -> None:
    """The figure has one legend, which no panel reaches."""
    figure.draw_without_rendering()
    (legend,) = figure.legends
    for axes in figure.axes:
        assert axes.get_legend() is None
        assert not axes.get_window_extent().overlaps(legend.get_window_extent())


# --- ρ̄ and r̄ over epochs


def students(run: Run) -> dict[str, dict]:
    """What student training measures; on CIFAR-10 accuracies too."""
    found = {}
    for end in ("", "_192"):
        found |= {f"{name}{end}": LAYERED for name in ("correlation", "mean_rank", "control")}
        found[f"floor{end}"] = LAYERED | {"epoch": [0]}
    found["dead_teachers"] = LAYERED | {"epoch": [0]}
    whole = {"seed": SEEDS, "epoch": EPOCHS}
    accuracies = ("accuracy", "teacher_accuracy") if run.trained.settings.data.kind == "cifar10" else ()
    return found | dict.fromkeys(("loss", *accuracies), whole)


def with_published(results: Results, variants: list[str], quantities: list[str]) -> Results:
    """Random published curves that go on beyond our last epoch, with a point that could not be read."""
    rows = [
        (quantity, layer, epoch, np.nan if epoch == 1 else DRAW.uniform(0.1, 1))
        for quantity, layer, epoch in itertools.product(quantities, LAYERS, range(8))
    ]
    frame = pd.DataFrame(rows, columns=["quantity", "layer", "epoch", "value"])
    return replace(results, published=dict.fromkeys(variants, frame))


def trained(name: str, **others) -> Results:
    """Student training of which one seed diverges, with published curves for the last variant of the experiment."""
    results = made(name, students, **others)
    last = list(results.runs)[-1]
    gone = (results.table["variant"] == last) & (results.table["seed"] == 1) & (results.table["epoch"] > 1)
    results.table.loc[gone, "value"] = np.nan
    return with_published(results, [last], ["correlation_192", "mean_rank_192"])


def grey(layer: int) -> str:
    return ("0.3", "0.44", "0.58", "0.72")[layer]


def experiments(*layouts: str) -> list[str]:
    """Those that are drawn by one of these layouts."""
    return [name for name, one in PROJECTS["paper"].experiments.items() if one.figure.layout in layouts]


def chance(results: Results, variants) -> list[float]:
    """Of every hidden layer, in any order; by an example that differs from the code's own way."""
    found = set()
    for run in (results.runs[variant] for variant in variants):
        for nodes in run.teacher.widths:
            n = nodes * run.trained.settings.student.multiplier
            found.add(np.mean(np.arange(n) / n))  # the ranks that a winner may have are as likely as one another
    return [np.mean(list(found))] if max(found) - min(found) < 0.005 else sorted(found)


def assert_overlap(axes: Axes, results: Results, styles: dict[str, str], quantity: str, *, few: bool) -> None:
    """The panel of these variants, in their line styles; few: whether ours are on 192 samples."""
    lines, bands, end = [], [], "_192" if few else ""
    for (variant, style), layer in itertools.product(styles.items(), LAYERS):
        where, color = {"variant": variant, "layer": layer}, LAYER_COLORS[layer]
        rows = values(results, quantity + end, **where)
        lines.append(over(rows, "epoch", color, style))
        if quantity == "correlation":
            lines.append(over(values(results, f"control{end}", **where), "epoch", grey(layer), style))
            floor = values(results, f"floor{end}", **where)["value"].mean()
            lines.append(line([1.01], [floor], color, "None"))
        if variant in results.published:
            known = results.published[variant].dropna()
            known = known[(known["quantity"] == f"{quantity}_192") & (known["layer"] == layer)]
            known = known[known["epoch"] <= EPOCHS[-1]]
            lines += [line(known["epoch"], known["value"], color, "--")] if len(known) else []
        by_epoch = rows.groupby("epoch")["value"]
        if results.experiment.figure.band == "std":
            low, high = (by_epoch.mean() + sign * by_epoch.std(ddof=1) for sign in (-1, 1))
        else:
            low, high = by_epoch.min(), by_epoch.max()
        bands.append((low.index, low, high, color))
    if quantity == "mean_rank":
        lines += [line([0, 1], [level] * 2, "0.4", ":") for level in chance(results, styles)]
    assert_lines(axes, lines)
    assert_bands(axes, bands)
    said = [text.get_text() for text in (*axes.texts, axes._right_title)]
    assert ("192 samples" in said) == few


def assert_caption(figure: Figure, results: Results, *, few: bool) -> None:
    text = caption(figure)
    band = {"range": "band: range over seeds", "std": "band: ±1 standard deviation over seeds"}
    assert band[results.experiment.figure.band] in text
    assert "Grey: the same students' ρ̄ with an unrelated teacher" in text
    assert ("“192 samples”: as the authors measure" in text) == few
    named = legend(figure)
    assert {layer_name(layer): named[layer_name(layer)][0] for layer in LAYERS} == {
        layer_name(layer): to_hex(LAYER_COLORS[layer]) for layer in LAYERS
    }
    assert named["published (digitized)"][1] == "--"
    assert named["control: unrelated teacher"] == (to_hex(grey(0)), "-")
    assert named["floor: nodes of the teacher"][1] == "None"


def style_of(index: int) -> str:
    return ("-", "--", "-.")[index]


@pytest.mark.parametrize("name", ["teacher-size", "gaus-conv", "batch-norm-scales", "cifar-conv", "evaluation-size"])
def test_overlap_curves_have_each_variant_in_its_row(name: str) -> None:
    results = trained(name)
    options, rows = results.experiment.figure, {}
    for variant, labels in results.labels.items():
        rows.setdefault(title(results, variant, without=options.compare), {})[labels.get(options.compare)] = variant
    if options.included_first:
        own = {key: results.runs[next(iter(its.values()))].experiment == name for key, its in rows.items()}
        rows = {key: rows[key] for key in sorted(rows, key=own.get)}
    compared = list(dict.fromkeys(labels.get(options.compare) for labels in results.labels.values()))
    figure = draw(results)
    labelled = "accuracy" in set(results.table["quantity"])
    panels = np.array(figure.axes).reshape(len(rows), 4 if labelled else 2)
    told = False
    for (left, right, *others), (said, variants) in zip(panels, rows.items(), strict=True):
        assert left.get_title(loc="left") == said
        styles = {variant: style_of(compared.index(label)) for label, variant in variants.items()}
        sizes = {results.runs[variant].settings.data.evaluation_samples for variant in styles}
        few = bool(styles.keys() & results.published.keys()) and len(sizes) == 1
        told |= few
        assert_overlap(left, results, styles, "correlation", few=few)
        assert_overlap(right, results, styles, "mean_rank", few=few)
        for axes, quantity in zip(others, ("loss", "accuracy"), strict=bool(others)):
            lines = [over(values(results, quantity, variant=one), "epoch", "0.15", how) for one, how in styles.items()]
            if quantity == "accuracy":
                teachers = pd.concat([values(results, "teacher_accuracy", variant=one) for one in styles])
                lines.append(line([0, 1], [teachers["value"].mean()] * 2, "0.4", ":"))
            assert_lines(axes, lines)
    assert_caption(figure, results, few=told)
    if options.compare:
        named = legend(figure)
        for index, label in enumerate(compared):
            assert named[label_name(results, label)][1] == style_of(index)
    if name == "teacher-size":
        assert_legend_is_beside(figure)


def test_overlap_grid_has_each_variant_in_its_panel() -> None:
    """A run among them is of luck-speed, whose table also has values between epochs and of single nodes."""
    results = only(trained("over-param"), multiplier=("m1", "m10", "m50"))
    (followed, _) = PROJECTS["paper"].variants("luck-speed")["base"]
    rows = made("luck-speed", followed_nodes).table.assign(variant="m10-no-bn")
    results = replace(
        results,
        table=pd.concat([results.table, rows], ignore_index=True),
        runs=results.runs | {"m10-no-bn": followed},
        labels={variant: results.labels[variant] for variant in reversed(results.labels) if variant != "m50-bn"},
    )  # places go by labels, not by order
    figure = draw(results)
    assert sum("not run" in text.get_text() for axes in figure.axes for text in axes.texts) == 1
    assert_grid(figure, results)
    assert_caption(figure, results, few=True)
    assert_legend_is_beside(figure)


def assert_grid(figure: Figure, results: Results) -> None:
    """Each panel shows the variant of its title, and no variant is missing."""
    options, left = results.experiment.figure, dict(results.labels)
    for axes in figure.axes:
        if axes.get_lines():
            shown = [
                variant for variant, its in left.items()
                if axes.get_title() == "\n".join(
                    label_name(results, its[axis]) for axis in (options.columns, options.rows) if axis
                )
            ]  # fmt: skip
            assert len(shown) == 1, axes.get_title()
            assert_overlap(axes, results, {shown[0]: "-"}, "correlation", few=shown[0] in results.published)
            del left[shown[0]]
    assert not left


def test_overlap_grid_of_one_axis_has_one_row() -> None:
    results = only(trained("over-param"), batch_norm=("bn",), multiplier=("m1", "m50"))
    figure = results.experiment.figure.model_copy(update={"rows": None})
    results = replace(results, experiment=results.experiment.model_copy(update={"figure": figure}))
    drawn = draw(results)
    assert len(drawn.axes) == 2
    assert_grid(drawn, results)


def paired(run: Run) -> dict[str, dict]:
    """What loss-spread draws, of the first six starts."""
    seeds = run.seeds[:6]
    return {"correlation": LAYERED | {"seed": seeds}, "loss": {"seed": seeds, "epoch": EPOCHS}}


def test_loss_spread_has_both_students_of_each_start() -> None:
    results = made("sample-orders", paired)
    figure = draw(results)
    top, *below = figure.axes
    for place, m in enumerate((1, 2, 5, 10)):
        last, first = (
            [values(results, quantity, variant=f"m{m}-{order}", epoch=epoch) for order in ("first", "second")]
            for quantity, epoch in (("loss", EPOCHS[-1]), ("correlation", EPOCHS[0]))
        )
        losses = [rows.sort_values("seed")["value"].to_numpy() for rows in last]
        luck = [rows.groupby("seed")["value"].mean().to_numpy() for rows in first]
        again, lucky = below[2 * place : 2 * place + 2]
        np.testing.assert_allclose(again.get_lines()[1].get_data(), losses)
        np.testing.assert_allclose(
            lucky.get_lines()[0].get_data(), [np.mean(luck, axis=0), np.exp(np.mean(np.log(losses), axis=0))]
        )
        points = [
            one for one in top.get_lines() if one.get_marker() == "." and abs(one.get_xdata().mean() - place) < 0.4
        ]
        starts, orders = (np.log(one.get_ydata()).reshape(6, 2) for one in points)
        np.testing.assert_allclose(starts.T, np.log(losses) - np.log(losses).mean(), atol=1e-9)
        np.testing.assert_allclose(orders[:, 0], (np.log(losses[0]) - np.log(losses[1])) / np.sqrt(2), atol=1e-9)
        assert again.get_title().startswith(f"m = {m}\nstart explains ")
        assert lucky.get_title().startswith(f"m = {m}\nr = ")
    assert "losses differ" in figure.get_suptitle()


def test_loss_spread_with_too_few_starts_says_so() -> None:
    figure = draw(made("sample-orders", lambda run: {
        name: axes | {"seed": run.seeds[:3]} for name, axes in paired(run).items()
    }, scale="ci"))  # fmt: skip
    assert "Too few starts" in figure.get_suptitle()


def test_changes_are_drawn_on_usual_settings() -> None:
    whole = {"seed": SEEDS, "epoch": EPOCHS}
    results = made("settings", lambda run: {"correlation": LAYERED, "loss": whole, "training_loss": whole})
    figure = draw(results)
    panels = np.array(figure.axes).reshape(2, 4)
    columns = [["usual-x4", "usual-x8"], ["std-1-x1", "std-1-x100"], ["outputs-10-x1"], ["normalized-x1"]]
    usual = values(results, "correlation", variant="usual-x1", epoch=EPOCHS[-1]).groupby("seed")["value"].mean()
    for (above, below), variants in zip(panels.T, columns, strict=True):
        looks = zip(["usual-x1", *variants], ["-", "-", "--"], strict=False)
        expected, shares = [], []
        for variant, style in looks:
            for layer, rows in values(results, "correlation", variant=variant).groupby("layer"):
                expected.append(over(rows, "epoch", LAYER_COLORS[layer], style))
            for _, rows in values(results, "loss", variant=variant).groupby("seed"):
                loss = rows.sort_values("epoch")["value"].to_numpy()
                shares.append(line(EPOCHS, loss / loss[0], "0.15", style))
        assert_lines(above, expected)
        assert_lines(below, shares)
        for variant in variants:
            changed = values(results, "correlation", variant=variant, epoch=EPOCHS[-1]).groupby("seed")["value"].mean()
            mean, low, high = t_interval((changed - usual).to_numpy())
            assert f"{mean:+.3f} [{low:+.2f}, {high:+.2f}]".replace("-", "−") in above.get_title()
    assert_legend_is_beside(figure)


@pytest.mark.parametrize(("move", "told"), [(0.019, False), (0.021, True)])
def test_captions_describe_published_curves_beyond_the_last_epoch(move: float, told: bool) -> None:
    results = trained("gaus-fc")
    level = {0: 0.2, 2: np.nan, 3: np.nan, 5: 0.5 + move}  # the last known level is that of epoch 1
    rows = [("correlation_192", 2, epoch, level.get(epoch, 0.5)) for epoch in range(7)]
    frame = pd.DataFrame(rows, columns=["quantity", "layer", "epoch", "value"])
    text = caption(draw(replace(results, published={"bn": frame})))
    said = "$\\bar\\rho$ (with BatchNorm) by up to 0.02 after epoch 3 (layer 2)"
    assert ("Out of reach of these runs" in text) == (said in text) == told


def test_chance_differs_between_narrow_layers() -> None:
    results = trained("gaus-fc-small")
    ((variant, run),) = results.runs.items()
    student = run.settings.student.model_copy(update={"multiplier": 1})
    narrow = run.model_copy(update={"settings": run.settings.model_copy(update={"student": student})})
    results = replace(results, runs={variant: narrow})
    assert chance(results, [variant]) == pytest.approx([0.45, 7 / 15, 0.475, 0.48])
    assert_overlap(draw(results).axes[1], results, {variant: "-"}, "mean_rank", few=True)


# --- Measured on finished runs


def profile(run: Run) -> dict[str, dict]:
    axes = LAYERED | {"epoch": [0, 3], "node": range(4), "rank": range(5)}
    return {"correlation": axes, "dead_teachers": LAYERED | {"epoch": [0]}}


def test_rank_profile_has_each_variant_in_its_row() -> None:
    results = made("rank-profile", profile)
    panels = iter(draw(results).axes)
    for variant, layer in itertools.product(results.runs, LAYERS):
        axes, lines = next(panels), []
        assert axes.get_title() == f"{title(results, variant)}\n{layer_name(layer)}"
        for epoch, color, style in ((0, "0.45", "--"), (3, LAYER_COLORS[layer], "-")):
            rows = values(results, "correlation", variant=variant, layer=layer, epoch=epoch)
            rows = rows.assign(place=rows["rank"].astype(int) + 1)
            lines += [over(one, "place", color) for _, one in rows[rows["seed"] == 0].groupby("node")]
            lines.append(over(rows, "place", color, style))
        assert_lines(axes, lines)


def followed_nodes(run: Run) -> dict[str, dict]:
    """What luck-speed measures of its own: single nodes, and layers between epochs."""
    nodes = LAYERED | {"epoch": [0.0], "node": range(12)}
    between = LAYERED | {"epoch": [0.0, 0.1, 1.0, 2.5, 3.0]}
    names = ("initial_overlap", "final_overlap", "initial_rank", "margin", "time_0.9", "time_half_way")
    return dict.fromkeys(names, nodes) | dict.fromkeys(("passed", "standing", "found", "winners_share"), between)


def followed() -> Results:
    results = made("luck-speed", lambda run: followed_nodes(run) | students(run))
    never = results.table["quantity"].isin(["time_0.9", "time_half_way"]) & (results.table["value"] > 0.8)
    results.table.loc[never, "value"] = np.nan
    return results


def test_luck_speed_shows_waiting_times_and_standing_students() -> None:
    results = followed()
    figure = draw(results)
    named = {text: style for text, (_, style) in legend(figure).items()}
    lines = {"standing: ρ and contribution": "-", "by ρ alone": "--", "share of teacher nodes found": "-."}
    assert named.items() >= lines.items()
    panels = np.array(figure.axes).reshape(len(LAYERS), 3)
    for layer, (waiting, cloud, counts) in zip(LAYERS, panels, strict=True):
        table = results.table[results.table["layer"] == layer].dropna(subset="node")
        nodes = table.pivot(index=["seed", "node"], columns="quantity", values="value")
        moments, shares = np.geomspace(0.1, 3, 200), np.zeros((4, 200))
        for _, one in nodes.groupby("seed"):
            order = np.argsort(one["initial_overlap"].to_numpy())
            for quarter, chosen in enumerate(np.split(one["time_0.9"].fillna(np.inf).to_numpy()[order], 4)):
                shares[quarter] += (chosen > moments[:, None]).mean(1) / len(SEEDS)
        for one, share in zip(waiting.get_lines(), shares, strict=True):  # light to dark
            np.testing.assert_allclose(one.get_ydata(), share, atol=1e-9)
        (dots,) = cloud.get_lines()
        time, never = nodes["time_half_way"], nodes["time_half_way"].isna()
        np.testing.assert_array_equal(dots.get_xdata(), nodes["initial_overlap"])
        np.testing.assert_array_equal(dots.get_ydata()[~never], time[~never])
        assert dots.get_ydata()[never].min() > 1.15 * 3
        ranks = [
            stats.spearmanr(one["initial_overlap"], one["time_half_way"].fillna(9)).statistic
            for _, one in nodes.groupby("seed")
        ]
        assert cloud.get_title(loc="right") == f"r = {np.mean(ranks):.2f}"
        lines = []
        for quantity, style in (("standing", "-"), ("passed", "--"), ("found", "-.")):
            rows = values(results, quantity, layer=layer)
            lines.append(over(rows[rows["epoch"] > 0], "epoch", LAYER_COLORS[layer], style))
        assert_lines(counts, lines)


def test_modulation_shows_the_first_seeds_matrices_and_each_seeds_share() -> None:
    moments = LAYERED | {"epoch": [0, 3]}
    names = [f"{name}/{epoch}/{layer}" for name in ("beta_star", "h_star") for epoch in (0, 3) for layer in LAYERS]
    tensors = {name: DRAW.normal(size=(2, 40, 4)) for name in names}  # (S, n, n°)
    results = made(
        "modulation", lambda run: {"beta_star_share": moments, "h_star_share": moments}, tensors={"base": [tensors]}
    )
    panels = np.array([axes for axes in draw(results).axes if axes.get_label() != "<colorbar>"]).reshape(4, 4)
    said = (("beta_star", 0, "|β*|ᵀ before"), ("beta_star", 3, "|β*|ᵀ after"), ("h_star", 3, "|H*|ᵀ after"))
    for layer, (*matrices, shares) in zip(LAYERS, panels, strict=True):
        for axes, (name, epoch, text) in zip(matrices, said, strict=True):
            assert axes.get_title() == f"{text} training, {layer_name(layer)}"
            shown = abs(tensors[f"{name}/{epoch}/{layer}"][0]).T[:, :12]
            np.testing.assert_array_equal(axes.images[0].get_array(), shown)
        lines = [line([0, 1], [1 / 40] * 2, "0.4", ":")]
        for shift, name, x in itertools.product((-0.12, 0.12), ("beta_star", "h_star"), (0, 1)):
            if (shift < 0) == (name == "beta_star"):
                rows = values(results, f"{name}_share", layer=layer, epoch=(0, 3)[x])
                lines.append(line([x + shift] * len(SEEDS), rows["value"], LAYER_COLORS[layer], "None"))
        assert_lines(shares, lines)


def test_gradient_rule_shows_every_node_and_every_quantity() -> None:
    forms = ("matrix_form", "recursive_matrix_form", "matrix_form_teacher")
    names = ["residual", *(f"{form}_{what}" for form in forms[:2] for what in ("cosine", "norm_ratio"))]
    names.append("matrix_form_teacher_cosine")
    jobs = [
        {f"{name}/{epoch}/{layer}": DRAW.normal(size=(2, 5))
         for name in ("true", "predicted") for epoch in EPOCHS for layer in LAYERS}
        for _ in range(2)
    ]  # fmt: skip
    results = made("gradient-rule", lambda run: dict.fromkeys(names, LAYERED), tensors={"base": jobs})
    figure = draw(results)
    *scatters, residual, cosine, ratio = figure.axes
    for axes, epoch in zip(scatters, EPOCHS, strict=True):
        assert axes.get_title().startswith(f"epoch {epoch}: ")
        ends = axes.get_lines()[-1].get_xdata()
        lines = [line(ends, ends, "0.3")]
        for layer in LAYERS:
            x, y = (np.concatenate([job[f"{n}/{epoch}/{layer}"] for job in jobs]) for n in ("true", "predicted"))
            lines.append(line(x.ravel(), y.ravel(), LAYER_COLORS[layer], "None"))
        assert_lines(axes, lines)
    panels = {residual: [("residual", "-")]}
    panels |= {
        axes: [(f"{form}_{what}", style) for form, style in zip(forms, ("-", "--", "-."), strict=True)]
        for axes, what in ((cosine, "cosine"), (ratio, "norm_ratio"))
    }
    for (axes, shown), level in zip(panels.items(), (1e-10, np.sqrt(0.5), 1), strict=True):
        lines = [line([0, 1], [level] * 2, "0.4", ":")]
        for (quantity, style), layer in itertools.product(shown, LAYERS):
            rows, color = values(results, quantity, layer=layer), LAYER_COLORS[layer]
            if len(rows):
                lines.append(over(rows, "epoch", color, style))
                lines += [line(EPOCHS, one["value"], color, "None") for _, one in rows.groupby("seed")]
        assert_lines(axes, lines)


# --- Lottery tickets


def branches(run: Run) -> dict[str, dict]:
    """Losses, ρ̄ and lucky survivors of every branch but the untrained one, which never has later epochs."""
    axes = {"branch": [one for one in run.settings.branches if one != "untrained"], **LAYERED, "layer": range(2)}
    whole = {key: value for key, value in axes.items() if key != "layer"}
    found = {"loss": whole, "correlation": axes, "lucky": axes | {"epoch": [0]}, "lucky_chance": axes | {"epoch": [0]}}
    if run.trained.settings.data.kind == "cifar10":
        found["accuracy"] = whole
    return found


def shared_branches(run: Run) -> dict[str, dict]:
    """The same of those that every variant of `lottery-luck` has."""
    return {name: {**axes, "branch": ["rewound", *OTHERS]} for name, axes in branches(run).items()}


def of_branch(results: Results, variant: str, branch: str, quantity: str) -> pd.DataFrame:
    """By seed and epoch; losses over the dense network's last, where there is one; mean over layers."""
    rows = values(results, quantity, variant=variant, branch=branch)
    wide = rows.groupby(["seed", "epoch"])["value"].mean().unstack()
    dense = values(results, "loss", branch="dense", epoch=EPOCHS[-1]).set_index("seed")["value"]
    return wide.div(dense, axis=0) if quantity == "loss" and len(dense) else wide


def test_lottery_curves_have_means_and_standard_errors() -> None:
    results = made("lottery-curves", branches, scale="ci")
    figure = draw(results)
    variants = [variant for variant in results.runs if variant != "dense"]
    settings = results.runs["dense"].trained.settings
    steps = np.array(EPOCHS) * -(-settings.data.samples_per_epoch // settings.training.batch)
    for row, quantity in zip(np.array(figure.axes).reshape(2, -1), ("loss", "correlation"), strict=True):
        for axes, variant in zip(row, variants, strict=True):
            lines, bands = [], []
            branches_shown = {**dict.fromkeys(results.runs[variant].settings.branches, variant), "dense": "dense"}
            for branch, source in branches_shown.items():
                if branch == "untrained":
                    continue
                wide = of_branch(results, source, branch, quantity)
                wide = np.log(wide) if quantity == "loss" else wide
                mean, error = wide.mean(), wide.std(ddof=1) / np.sqrt(len(SEEDS))
                back = np.exp if quantity == "loss" else np.asarray
                look = LOOKS[branch]
                lines.append(line(steps, back(mean), look.color, look.line if look.line in ("-", "-.") else "--"))
                bands.append((steps, back(mean - error), back(mean + error), look.color))
            assert_lines(axes, lines)
            found = sorted(to_hex(one.get_facecolor()[0]) for one in axes.collections)
            assert found == sorted(to_hex(color) for *_, color in bands)
            assert_bands(axes, bands)
    assert [axes.get_title() for axes in figure.axes[: len(variants)]] == [label_name(results, one) for one in variants]
    assert "band: ± 1 standard error" in caption(figure)
    assert {name: color for name, (color, _) in legend(figure).items()} == {
        LOOKS[branch].name: to_hex(LOOKS[branch].color) for branch in set(results.table["branch"])
    }


@pytest.mark.parametrize("name", experiments("lottery-sparsity"))
def test_lottery_sparsity_has_intervals_at_each_size(name: str) -> None:
    results = only(made(name, branches, scale="ci"), by=("contribution", "magnitude", "nodes", "weights"))
    figure = draw(results)
    quantities = ("loss", "accuracy" if "accuracy" in set(results.table["quantity"]) else "correlation")
    axis = results.experiment.figure.columns
    columns = {}
    for axes in figure.axes:  # the panels of a column, from above
        columns.setdefault(axes.get_subplotspec().colspan.start, []).append(axes)
    panels = {
        upper.get_title(): (upper, lower)
        for column in columns.values()
        for upper, lower in zip(column[::2], column[1::2], strict=True)
    }
    for label in dict.fromkeys(its[axis] for its in results.labels.values()):
        for axes, quantity in zip(panels.pop(label_name(results, label)), quantities, strict=True):
            expected = []
            for variant in (variant for variant, its in results.labels.items() if its[axis] == label):
                for branch in set(results.runs[variant].settings.branches) - {"untrained", "dense"}:
                    final = of_branch(results, variant, branch, quantity)[EPOCHS[-1]]
                    y = t_interval(np.log(final) if quantity == "loss" else final)
                    kept = results.runs[variant].settings.pruning.kept
                    expected.append((*(np.exp(y) if quantity == "loss" else y), LOOKS[branch].color, kept))
            assert_points(axes, expected, aside=0.25)  # lines are drawn apart, sideways
    assert not panels
    assert "with its 95 % interval" in caption(figure)


def test_lottery_luck_has_survivors_gains_and_head_starts() -> None:
    results = only(made("lottery-luck", shared_branches), size=("x1", "x2"))
    figure = draw(results)
    sizes = list(dict.fromkeys(its["size"] for its in results.labels.values()))
    kinds = [by for by in dict.fromkeys(its["by"] for its in results.labels.values()) if by != "initial-overlap"]
    kinds.append("initial-overlap")
    colors = dict(zip(kinds, LAYER_COLORS, strict=False))

    def final(by: str, branch: str) -> pd.Series:
        return np.log(of_branch(results, variants[by], branch, "loss")[EPOCHS[-1]])

    for size, (survivors, gains, scatter) in zip(sizes, np.array(figure.axes).reshape(3, -1).T, strict=True):
        assert survivors.get_title() == label_name(results, size)
        variants = {its["by"]: variant for variant, its in results.labels.items() if its["size"] == size}
        chance_rows = pd.concat(
            [values(results, "lucky_chance", variant=variant, branch="rewound") for variant in variants.values()]
        )
        by_chance = chance_rows.groupby("layer")["value"].mean()
        expected = []
        for number, by in enumerate(kinds[:-1]):
            for layer in range(2):
                lucky, its = (
                    values(results, name, variant=variants[by], branch="rewound", layer=layer).set_index("seed")[
                        "value"
                    ]
                    for name in ("lucky", "lucky_chance")
                )
                y = t_interval((lucky - its).to_numpy() + by_chance[layer])
                expected.append((*y, colors[by], layer + 0.06 * (number - 1)))
        assert_points(survivors, expected)
        expected = []
        for number, by in enumerate(kinds):
            for shift, other in ((-0.15, "random-nodes"), (0.15, "reinitialized")):
                y = t_interval((final(by, other) - final(by, "rewound")).to_numpy())
                expected.append((*y, colors[by], number + shift))
        assert_points(gains, expected)
        for one, by in zip(scatter.collections, [*kinds, None], strict=True):
            by, branch = by or "contribution", "rewound" if by else "reinitialized"
            before, beside = (of_branch(results, variants[by], b, "correlation")[0] for b in (branch, "random-nodes"))
            gained = final(by, "random-nodes") - final(by, branch)
            np.testing.assert_allclose(one.get_offsets(), np.c_[before - beside, gained])


# --- Observed, extracted, simulated


def test_co_activation_has_every_pair_and_the_means() -> None:
    results = made(
        "small-overlap",
        lambda run: {
            name: LAYERED | {"layer": range(3), "epoch": [0, 5] if run.variant == "conv-bn-relu" else [0]}
            for name in ("together", "independent", "negative", "channels")
        },
    )
    tensors = {}
    for variant in results.runs:
        epochs = (0, 5) if variant == "conv-bn-relu" else (0,)
        tensors[variant] = [
            {f"joint/{epoch}/{layer}": DRAW.uniform(size=(2, 4, 4)) for epoch in epochs for layer in range(3)}
            for _ in range(2)
        ]
    panels = iter(draw(replace(results, tensors=tensors)).axes)
    for variant, layer in itertools.product(results.runs, range(3)):
        axes = next(panels)
        lines = [line([0, 1], [0, 1], "0.3"), line([0, 1], [0.25] * 2, "0.3", ":")]
        epochs = (0, 5) if variant == "conv-bn-relu" else (0,)
        for epoch in epochs:
            pairs = [
                (joint[j, j] * joint[k, k], joint[j, k])
                for job in tensors[variant]
                for joint in job[f"joint/{epoch}/{layer}"]
                for j, k in itertools.combinations(range(4), 2)
            ]
            color = LAYER_COLORS[layer] if epoch == epochs[-1] else "0.55"
            lines.append(line(*np.array(pairs).T, color, "None"))
        assert_lines(axes, lines)

        def mean(quantity: str, epoch: int, variant: str = variant, layer: int = layer) -> float:
            return values(results, quantity, variant=variant, layer=layer, epoch=epoch)["value"].mean()

        steps = " → ".join(f"{mean('together', epoch):.3f} ({mean('independent', epoch):.3f})" for epoch in epochs)
        share = mean("negative", epochs[-1]) / mean("channels", epochs[-1])
        assert axes.get_title() == f"{layer_name(layer)}, {share:.0%} negative\n{steps}"
        if layer == 0:
            assert axes.get_ylabel().startswith(title(results, variant))


def networks(name: str) -> Results:
    """Biases of networks with three layers; of the last network the published moments alone."""
    results = made(name, lambda run: {"bias": {"seed": [0], "layer": range(3), "node": range(8)}})
    frames, last = [], list(results.runs)[-1]
    for variant, layer in itertools.product(results.runs, range(3)):
        bias = results.table.query("variant == @variant and layer == @layer")["value"] - 0.6
        results.table.loc[bias.index, "value"] = bias
        counts = {"channels": 8, "negative": (bias < 0).sum(), "zero": 0, "positive": (bias > 0).sum()}
        found = counts | {"bias_mean": bias.mean(), "bias_std": bias.std(), "published_not_positive": layer + 2}
        if variant == last:
            found = {"channels": 8, "published_bias_mean": DRAW.uniform(-0.5, 0.1), "published_bias_std": 0.2}
        frames.append(
            pd.DataFrame({"quantity": found, "value": found}).assign(
                quantity=list(found), variant=variant, layer=layer, seed=0
            )
        )
    table = results.table[(results.table["variant"] != last)]
    table = pd.concat([table, *frames], ignore_index=True).astype({"layer": "Int64", "node": "Int64"})
    said = {"weights": "torchvision", "no_weights": None, "data": "made up", "diverged": {}}
    none = {**said, "weights": None, "no_weights": "no download"}
    manifests = [(variant, none if variant == last else said) for variant in results.runs]
    return replace(results, table=table, manifests=manifests)


def wide(results: Results, variant: str) -> pd.DataFrame:
    rows = results.table[(results.table["variant"] == variant) & results.table["node"].isna()]
    return rows.pivot(index="layer", columns="quantity", values="value")


def test_bias_histograms_have_every_channel() -> None:
    results = networks("bn-bias-vgg")
    *with_weights, last = results.runs
    panels = [axes for axes in draw(results).axes if axes.get_visible()]
    shown = iter(panels)
    for variant, layer in itertools.product(with_weights, range(3)):
        axes = next(shown)
        bias = values(results, "bias", variant=variant, layer=layer)["value"].to_numpy()
        edges = np.linspace(-1, 0.5, 51)
        for bars, chosen in zip(axes.containers, (bias < 0, bias >= 0), strict=True):
            assert [bar.get_height() for bar in bars] == np.histogram(bias[chosen], edges)[0].tolist()
        assert axes.get_title() == f"{layer_name(layer)}\n{(bias < 0).mean():.1%} negative"
    axes, its = next(shown), wide(results, last)
    mean, std = its["published_bias_mean"], its["published_bias_std"]
    ends = [one for one in axes.get_lines() if len(one.get_xdata()) == 2 and one.get_linewidth() == 7]
    for layer in range(3):
        y = np.concatenate([one.get_ydata() for one in ends if one.get_xdata()[0] == layer])
        assert (y.min(), y.max()) == pytest.approx((mean[layer] - std[layer], mean[layer] + std[layer]))
    assert any(len(one.get_xdata()) == 3 and np.allclose(one.get_ydata(), mean) for one in axes.get_lines())
    assert not list(shown)


def test_bias_shares_have_each_network_in_its_panel() -> None:
    results = networks("bn-bias-all")
    last = list(results.runs)[-1]
    panels = {axes.get_title().split(" (")[0]: axes for axes in draw(results).axes if axes.get_visible()}
    for variant, labels in results.labels.items():
        axes, its = panels.pop(label_name(results, labels["model"])), wide(results, variant)
        lines, layers = [line([0, 1], [50, 50], "0.4", ":")], range(3)
        if variant == last:
            low, high = zip(*(segment[:, 1] for segment in axes.collections[0].get_segments()), strict=True)
            likely = 100 * stats.norm.cdf(0, its["published_bias_mean"], its["published_bias_std"])
            lines.append(line(layers, likely, LAYER_COLORS[0], "None"))
            assert ((np.array(low) <= likely) & (likely <= np.array(high))).all()
        else:
            lines.append(line(layers, 100 * its["negative"] / 8, LAYER_COLORS[0]))
            lines.append(line(layers, 100 * its["published_not_positive"] / 8, LAYER_COLORS[1], "None"))
            assert axes.get_title().endswith(f"({its['negative'].sum() / 24:.1%} negative)")
        assert_lines(axes, lines)
    assert not panels


def fans(name: str) -> Results:
    """Norms of every node at the snapshots, and of both groups at every epoch; published levels for one variant."""

    def norms(run: Run) -> dict[str, dict]:
        axes = {
            "start": run.settings.starts,
            "seed": SEEDS,
            "epoch": EPOCHS,
            "layer": range(len(run.settings.widths) - 2),
        }
        return dict.fromkeys(("matched_norm", "unmatched_norm", "winner_norm", "other_norm"), axes)

    results, tensors = made(name, norms), {}
    for variant, run in results.runs.items():
        s = run.settings
        shape = (len(s.snapshots), 2, len(s.starts), s.multiplier * s.widths[-2])
        tensors[variant] = [{f"norm/{len(s.widths) - 3}": DRAW.uniform(0.1, 1, shape)} for _ in range(2)]
    published = {}
    if results.experiment.figure.published:
        (variant,) = results.experiment.figure.published
        s = results.runs[variant].settings
        rows = list(itertools.product(("matched_norm", "unmatched_norm"), s.starts, s.snapshots))
        frame = pd.DataFrame(rows, columns=["quantity", "start", "epoch"])
        frame = frame.assign(value=DRAW.uniform(0.1, 1, len(rows)), layer=0, uncertainty=0.1, seeds=32)
        published = {variant: frame}
    return replace(results, tensors=tensors, published=published)


@pytest.mark.parametrize("name", experiments("fan-out"))
def test_fan_out_has_every_node_at_every_snapshot(name: str) -> None:
    results = fans(name)
    panels = iter(draw(results).axes)
    for variant, run in results.runs.items():
        settings = run.settings
        matched, (key,) = settings.widths[-2], results.tensors[variant][0]
        norm = np.concatenate([job[key] for job in results.tensors[variant]], axis=1)
        for place, start in enumerate(settings.starts):
            axes, mean = next(panels), norm[:, :, place].mean(1)
            found = [one for one in axes.get_lines() if len(one.get_xdata()) == norm.shape[3]]
            np.testing.assert_allclose([one.get_ydata() for one in found], mean)
            lines = [
                line(range(norm.shape[3]), *pair) for pair in zip(mean, (o.get_color() for o in found), strict=True)
            ]
            assert len({one.get_color() for one in found}) == len(mean)
            lines.append(line([matched - 0.5] * 2, [0, 1], "0.4", ":"))
            levels = results.published.get(variant, pd.DataFrame(columns=["start"])).query("start == @start")
            for row in levels.itertuples():
                x = matched / 2 if row.quantity == "matched_norm" else (matched + norm.shape[3]) / 2
                lines.append(line([x], [row.value], "black", "None"))
            assert_lines(axes, lines)
            last = values(results, "matched_norm", variant=variant, start=start, epoch=EPOCHS[-1])
            others = values(results, "unmatched_norm", variant=variant, start=start, epoch=EPOCHS[-1])
            ends = [rows[rows["layer"] == rows["layer"].max()]["value"].mean() for rows in (last, others)]
            assert axes.texts[0].get_text() == f"ends at {ends[0]:.2f} | {ends[1]:.2f}"
            if place == 0:
                assert axes.get_ylabel().startswith(label_name(results, next(iter(results.labels[variant].values()))))


def pairs() -> Results:
    axes = {"seed": SEEDS, "replica": range(4), "epoch": [0], "layer": [0], "node": range(2)}
    names = [f"{what}_{level}" for what in ("time", "predicted") for level in ("0.9", "0.95")]
    results = made("two-nodes", lambda run: dict.fromkeys(["initial_cosine", *names], axes))
    never = results.table["quantity"].str.startswith("time_") & (results.table["value"] > 0.8)
    results.table.loc[never, "value"] = np.nan
    return results


def test_two_nodes_have_measured_and_predicted_times() -> None:
    results = pairs()
    figure = draw(results)
    panels = np.array([axes for axes in figure.axes if axes.get_label() != "<colorbar>"]).reshape(2, 3)
    for variant, (against, *overlaps) in zip(results.runs, panels, strict=True):
        rows = results.table[results.table["variant"] == variant]
        nodes = rows.pivot(index=["seed", "replica", "node"], columns="quantity", values="value")
        for axes, level, x in zip(
            (against, *overlaps), (0.9, 0.9, 0.95), ("predicted_0.9", *["initial_cosine"] * 2), strict=True
        ):
            assert axes.get_title(loc="left") == f"{title(results, variant)}: cosine {level}"
            its = nodes[(nodes["initial_cosine"] < level) & nodes[f"time_{level}"].notna()]
            np.testing.assert_array_equal(axes.collections[0].get_offsets(), its[[x, f"time_{level}"]])
            if axes is against:
                np.testing.assert_array_equal(axes.collections[0].get_array(), its["initial_cosine"])
            ratio = its[f"time_{level}"] / its[f"predicted_{level}"]
            said = (
                f"{title(results, variant)}, cosine {level}: {ratio.mean():.3f} ± {ratio.std():.3f}, {len(ratio)} nodes"
            )
            assert said in caption(figure)


def boundaries() -> Results:
    results = made("decision-lines", lambda run: {"loss": {"seed": [0], "epoch": EPOCHS}})
    tensors = {}
    for variant, run in results.runs.items():
        students, teachers, moments = run.settings.students, run.settings.teacher_nodes, run.settings.epochs + 1
        draw_all = {
            "lines": (moments, 1, students, 3), "fan_out": (moments, 1, students),
            "teacher_lines": (1, teachers, 3), "teacher_fan_out": (1, teachers),
        }  # fmt: skip
        tensors[variant] = [{key: DRAW.uniform(-1, 1, shape) for key, shape in draw_all.items()}]
    return replace(results, tensors=tensors)


def test_decision_lines_have_each_snapshot_of_each_network() -> None:
    results = boundaries()
    panels = iter(draw(results).axes)
    for variant, run in results.runs.items():
        (job,) = results.tensors[variant]
        for epoch in run.settings.snapshots:
            axes = next(panels)
            assert axes.get_title().startswith(f"{title(results, variant)}, iteration {epoch}")
            drawn = [one for one in axes.get_lines() if one.get_linewidth() not in (0.5, 0.8)]  # not ticks, not ties
            wanted = [
                (*node, norm, color)
                for lines, norms, color in (
                    (job["teacher_lines"][0], job["teacher_fan_out"][0], "0.1"),
                    (job["lines"][epoch, 0], job["fan_out"][epoch, 0], LAYER_COLORS[0]),
                )
                for node, norm in zip(lines, norms, strict=True)
                if len({node[:2] @ corner + node[2] > 0 for corner in itertools.product((-3, 3), repeat=2)}) > 1
            ]
            for one, (w0, w1, bias, norm, color) in zip(drawn, wanted, strict=True):
                x, y = one.get_data()
                np.testing.assert_allclose(w0 * x + w1 * y + bias, 0, atol=1e-9)
                assert (one.get_linewidth(), to_hex(one.get_color())) == (
                    pytest.approx(0.4 + 1.2 * norm),
                    to_hex(color),
                )


# --- Generalization and carriers


def fits(run: Run) -> dict[str, dict]:
    return {name: {"seed": SEEDS, "epoch": EPOCHS} for name in ("training_error", "test_error")}


@pytest.mark.parametrize("name", experiments("generalization"))
def test_generalization_has_each_student_against_training_error_and_over_epochs(name: str) -> None:
    results = made(name, fits, scale="ci")
    figure, axis = draw(results), results.experiment.figure.columns
    columns = dict.fromkeys(labels.get(axis) for labels in results.labels.values())
    order = list(results.experiment.figure.labels)
    columns = sorted(columns, key=lambda label: order.index(label) if label in order else -1)
    panels = np.array(figure.axes).reshape(2, -1)
    others = {
        variant: ", ".join(label_name(results, label) for key, label in labels.items() if key != axis)
        for variant, labels in results.labels.items()
    }
    names = list(dict.fromkeys(others.values()))
    palette = dict(zip(names, sns.color_palette("viridis", len(names)), strict=True))
    for (above, below), column in zip(panels.T, columns, strict=True):
        against, over_epochs = [], []
        for variant in (v for v, labels in results.labels.items() if labels.get(axis) == column):
            color = palette[others[variant]]
            rows = [values(results, quantity, variant=variant) for quantity in ("training_error", "test_error")]
            x, y = (np.exp(np.log(own["value"]).groupby(own["epoch"]).mean()) for own in rows)
            against += [line(x, y, color), line(x.iloc[-1:], y.iloc[-1:], color)]
            over_epochs += [line(EPOCHS, x, color, "--"), line(EPOCHS, y, color)]
        best = [0, 1], [1, 1], to_hex("0.4")
        shown = [one for one in above.get_lines() if one.get_color() != "0.4"]  # neither the best constant nor no gap
        for one, (x, y, color, _) in zip(shown, against, strict=True):
            np.testing.assert_allclose(one.get_xydata(), np.c_[x, y])
            assert to_hex(one.get_color()) == color
        assert_lines(below, [*over_epochs, line(*best, ":")])
        assert above.get_title() == (label_name(results, column) if column else "")
    left, right = panels[0, 0].get_xlim()
    assert left > right  # learning goes to the right
    assert figure.legends[0].get_title().get_text().replace("\n", " ") == results.experiment.question


def carried(run: Run) -> dict[str, dict]:
    layered = ("nodes", "nodes_untrained", "essential", "students_per_teacher")
    whole = ("training_error", "test_error", "fitted_epoch")
    return {name: {"seed": SEEDS, "layer": LAYERS} for name in layered} | {name: {"seed": SEEDS} for name in whole}


def test_carriers_have_means_and_intervals_of_every_set_and_layer() -> None:
    results = made("structured-vs-random", carried)
    figure, variants = draw(results), list(results.runs)
    nodes, essential, students, errors = figure.axes
    for axes, quantity in ((nodes, "nodes"), (essential, "essential"), (students, "students_per_teacher")):
        for bars, layer in zip(axes.containers, LAYERS, strict=True):
            assert to_hex(bars.lines[0].get_color()) == to_hex(LAYER_COLORS[layer])
            assert_intervals(bars, [values(results, quantity, variant=v, layer=layer)["value"] for v in variants])
    for bars, quantity in zip(errors.containers, ("training_error", "test_error"), strict=True):
        assert_intervals(bars, [values(results, quantity, variant=variant)["value"] for variant in variants])
    before = [one.get_ydata()[0] for one in nodes.get_lines() if one.get_marker() == "_"]
    expected = [
        values(results, "nodes_untrained", variant=variant, layer=layer)["value"].mean()
        for variant, layer in itertools.product(variants, LAYERS)
    ]
    assert sorted(before) == pytest.approx(sorted(expected))
    names = [label.get_text() for label in errors.get_xticklabels()]
    assert names == [label_name(results, *results.labels[variant].values()) for variant in variants]
    assert "training error of 0.2 or less" in caption(figure)


def assert_intervals(bars: ErrorbarContainer, samples: list[pd.Series]) -> None:
    """Points at the means, bars as long as Student's 95 % intervals."""
    points, _, (segments,) = bars.lines
    np.testing.assert_allclose(points.get_ydata(), [own.mean() for own in samples])
    for (low, high), own in zip(segments.get_segments(), samples, strict=True):
        expected = stats.t.interval(0.95, len(own) - 1, own.mean(), stats.sem(own))
        np.testing.assert_allclose([low[1], high[1]], expected)


# --- Tickets and weights


def tickets(run: Run) -> dict[str, dict]:
    last, node = run.source.settings.training.epochs, {"seed": SEEDS, "layer": LAYERS, "node": range(6)}
    before = {name: {"epoch": [0], **node} for name in ("ticket", "predicted_ticket", "luck")}
    after = {name: {"epoch": [last], **node} for name in ("found", "close")}
    return before | after | {"cover": {"seed": SEEDS, "epoch": [0, 1, last], "layer": LAYERS}}


def test_tickets_and_cover_draws_tickets_their_prediction_and_found_nodes() -> None:
    results = made("tickets-and-cover", tickets)
    yes_or_no = results.table["quantity"].isin(["found", "close"])
    results.table.loc[yes_or_no, "value"] = DRAW.integers(0, 2, yes_or_no.sum())
    figure = draw(results)
    panels = np.array(figure.axes).reshape(4, len(LAYERS))
    sizes = {variant: run.source.settings.student.multiplier for variant, run in results.runs.items()}
    colors = dict(zip(sorted(sizes.values()), sns.color_palette("viridis_r", len(sizes) + 1)[1:], strict=True))
    for layer, column in zip(LAYERS, panels.T, strict=True):
        by_m = {m: {"variant": variant, "layer": layer} for variant, m in sizes.items()}
        points = []
        for m, where in by_m.items():
            seeds = values(results, "ticket", **where).groupby("seed")["value"].mean()
            points.append((seeds.mean(), seeds.min(), seeds.max(), LAYER_COLORS[layer], m))
        assert_points(column[0], points)
        diagonal, cover = [line([0, 1], [0, 1], "0.15", "--")], []
        for m, where in by_m.items():
            luck = np.sort(values(results, "luck", **where)["value"])
            if m < 50:  # a pool of 100 is too small
                diagonal.append(line(luck, np.arange(1, 19) / 18, colors[m]))
            cover.append(over(values(results, "cover", **where), "epoch", colors[m]))
            cover.append(over(values(results, "found", **where), "epoch", colors[m], "None"))
        assert_lines(column[1], diagonal)
        assert_lines(column[3], cover)
        for drawn, (m, where) in zip(column[2].get_lines(), sorted(by_m.items()), strict=True):
            ticket = values(results, "ticket", **where)["value"]
            assert (to_hex(drawn.get_color()), len(drawn.get_xdata())) == (to_hex(colors[m]), 4)
            assert ticket.min() <= min(drawn.get_xdata()) <= max(drawn.get_xdata()) <= ticket.max()
    assert_legend_is_beside(figure)


def test_weight_curves_draws_cosines_and_floors_of_every_variant() -> None:
    results = made("weights", lambda run: dict.fromkeys(("weight_cosine", "control_weight_cosine"), LAYERED))
    figure = draw(results)
    for axes, variant in zip(figure.axes, results.runs, strict=True):
        expected = [line([0, 1], [1, 1], "0.4", ":")]
        for layer in LAYERS:
            where = {"variant": variant, "layer": layer}
            expected.append(over(values(results, "weight_cosine", **where), "epoch", LAYER_COLORS[layer]))
            expected.append(over(values(results, "control_weight_cosine", **where), "epoch", grey(layer)))
        assert_lines(axes, expected)
        assert axes.get_title() == title(results, variant)
    assert_legend_is_beside(figure)


def test_teacher_overlap_draws_teachers_by_number_and_by_bias() -> None:
    names = ("weight_cosine", "control_weight_cosine", "correlation", "control")
    results = made("overlap-slows", lambda run: dict.fromkeys(names, LAYERED | {"layer": [0]}))
    panels = np.array(draw(results).axes).reshape(2, 2)
    groups = ["n10-drawn", "n25-drawn", "n100-drawn"], ["n25-lowered", "n25-drawn", "n25-raised"]
    for row, (own, control) in zip(panels, (names[:2], names[2:]), strict=True):
        for axes, variants in zip(row, groups, strict=True):
            expected = []
            for variant, color in zip(variants, sns.color_palette("viridis", 4)[:-1], strict=True):
                expected.append(over(values(results, own, variant=variant), "epoch", color))
                expected.append(over(values(results, control, variant=variant), "epoch", "0.6"))
            assert_lines(axes, expected)
    texts = [text.get_text() for axes in panels[0] for text in axes.get_legend().get_texts()]
    assert texts == ["10 nodes", "25 nodes", "100 nodes", "bias -1", "as drawn", "bias +1"]


# --- Layer by layer


def by_way(run: Run) -> dict[str, dict]:
    layers, ways = {"layer": range(len(run.teacher.widths))}, {"branch": run.settings.ways}
    end = {"seed": SEEDS, "epoch": [EPOCHS[-1]]}
    return {
        "loss": {"seed": SEEDS, "epoch": EPOCHS, **ways},
        "readout_loss": end | ways,
        "correlation": {"seed": SEEDS, "epoch": EPOCHS, **layers, **ways},
    }


def ends(results: Results, quantity: str, way: str) -> pd.DataFrame:
    """The last values of a way: index depth and seed, a column a multiplier."""
    shapes = {variant: len(run.teacher.widths) for variant, run in results.runs.items()}
    sizes = {variant: run.settings.student.multiplier for variant, run in results.runs.items()}
    rows = values(results, quantity, branch=way, epoch=EPOCHS[-1])
    rows = rows.assign(depth=rows["variant"].map(shapes), m=rows["variant"].map(sizes))
    return rows.pivot(index=["depth", "seed"], columns="m", values="value")


def nodes_for(losses: pd.Series, level: float) -> float:
    """The multiplier at which a curve, linear between logs, first is at a level, or the largest, by trying many."""
    tried = np.linspace(0, np.log(losses.index.max()), 20_001)
    reached = np.interp(tried, np.log(losses.index.to_numpy(float)), np.log(losses)) <= np.log(level)
    return np.exp(tried[reached.argmax() if reached.any() else -1])


def test_layer_by_layer_has_losses_nodes_and_matches_of_every_way() -> None:
    results = made("layer-by-layer", by_way)
    figure = draw(results)
    panels, looks = np.array(figure.axes).reshape(3, -1), kinds.load("kinds.layer_by_layer.figure").LOOKS
    trained = {way: ends(results, "loss", way) for way in looks}
    assert [axes.get_title() for axes in panels[0]] == [
        "1 hidden layer", "2 hidden layers", "3 hidden layers", "4 hidden layers"
    ]  # fmt: skip

    def drawn(axes: Axes, y: pd.Series, way: str, style: str = "-") -> bool:
        lines = [one for one in axes.get_lines() if to_hex(one.get_color()) == to_hex(looks[way].color)]
        found = [one.get_ydata() for one in lines if one.get_linestyle() == style]
        return any(len(one) == len(y) and np.allclose(one, y, rtol=1e-3) for one in found)

    for depth, (above, middle, below) in enumerate(panels.T, start=1):
        unit = trained["end-to-end"].loc[depth][1]
        for way in looks:
            best = ends(results, "readout_loss", way).loc[depth]
            over = np.exp(np.log(trained[way].loc[depth].div(unit, axis=0)).mean()).dropna()
            assert drawn(above, over, way)
            match = ends_by_layer(results, f"d{depth}-m10", way)
            assert drawn(below, match, way)
            if way != "end-to-end":
                assert drawn(above, np.exp(np.log(best.div(unit, axis=0)).mean()), way, ":")
                times = [
                    [nodes_for(best.loc[seed], trained["end-to-end"].loc[depth, seed][m]) / m for seed in SEEDS]
                    for m in (1, 3, 10)
                ]
                assert drawn(middle, np.exp(np.log(times).mean(1)), way)
    assert "Below: m = 10." in caption(figure)
    assert "bottom up" in figure.legends[0].get_title().get_text()


def ends_by_layer(results: Results, variant: str, way: str) -> pd.Series:
    """Means over seeds of final ρ̄, by layer."""
    rows = values(results, "correlation", branch=way, epoch=EPOCHS[-1], variant=variant)
    return rows.groupby("layer")["value"].mean()


# --- All of them


def test_every_layout_has_a_test() -> None:
    texts = [path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py")]
    tests = [name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)]
    for layout in kinds.layouts():
        assert any(name.startswith(f"test_{layout.replace('-', '_')}_") for name in tests), layout


# --- what is kept of tensors -----------------------------------------------------------------------------------------


def modulation_tensors(run: Run) -> list[dict[str, np.ndarray]]:
    names = [f"{name}/{epoch}/{layer}" for name in ("beta_star", "h_star") for epoch in (0, 3) for layer in LAYERS]
    return [{name: DRAW.normal(size=(2, 60, 4)) for name in names} for _ in range(2)]


def joint_tensors(run: Run) -> list[dict[str, np.ndarray]]:
    """Jobs of three seeds: 66 and 1,225 pairs of nodes a seed, so that a layer needs all seeds or two of them."""
    shapes = {0: (3, 12, 12), 1: (3, 50, 50)}
    return [
        {f"joint/{epoch}/{layer}": DRAW.uniform(size=shape) for epoch in (0, 3) for layer, shape in shapes.items()}
        for _ in range(2)
    ]


def pixels(figure: Figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba()).copy()


@pytest.mark.parametrize(
    ("name", "tensors", "quantities"),
    [
        ("modulation", modulation_tensors, ("beta_star_share", "h_star_share")),
        ("small-overlap", joint_tensors, ("together", "independent")),
    ],
)
def test_a_figure_of_the_kept_parts_of_tensors_is_the_same(name: str, tensors: Callable, quantities: tuple) -> None:
    layers = LAYERS if name == "modulation" else range(2)
    moments = {"seed": SEEDS, "epoch": [0, 3], "layer": layers}
    results = made(name, lambda run: dict.fromkeys(quantities, moments))
    jobs = {variant: tensors(run) for variant, run in results.runs.items()}
    layout = kinds.load(kinds.figure_name(results.experiment.figure.layout))
    parts = {variant: layout.drawn(own) for variant, own in jobs.items()}
    for variant, own in jobs.items():
        assert len(parts[variant]) == len(own)
        sizes = [sum(value.size for job in side for value in job.values()) for side in (parts[variant], own)]
        assert sizes[0] < sizes[1]
    whole, kept = (draw(replace(results, tensors=side)) for side in (jobs, parts))
    np.testing.assert_array_equal(pixels(kept), pixels(whole))
