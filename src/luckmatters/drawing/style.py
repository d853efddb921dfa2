"""The style of all figures: colours, names, panels of curves over epochs, and the footer with the numbers' origin."""

import math
import re
import textwrap
from collections.abc import Iterable, Sequence

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter

from luckmatters.settings.experiment import OF_WHAT_IS_KEPT, Run
from luckmatters.tables.results import Results

# Colour-blind-safe (seaborn's "colorblind" palette); layer 0, the lowest, has the same colour in every figure.
LAYER_COLORS = [sns.color_palette("colorblind")[index] for index in (0, 1, 2, 4, 5, 7, 8, 9)]
NETWORK_COLOR = "0.15"  # for quantities of the whole network
QUANTITIES = {
    "correlation": "mean best\ncorrelation $\\bar\\rho$",
    "mean_rank": "mean rank $\\bar r$ of winner\n(share of students)",
}
NETWORK_QUANTITIES = {"loss": "evaluation loss", "accuracy": "test accuracy"}
LINES = ("-", (0, (1, 1.2)), "-.")  # for labels that share a panel; published curves are dashed
LABELS = {
    "bn": "with BatchNorm", "no-bn": "without BatchNorm", "fc": "fully connected", "conv": "Conv",
    "contribution": "fan-out × spread", "magnitude": "magnitude",
    "overlap": "final overlap", "initial-overlap": "initial overlap",
    "small": "small teacher", "large": "large teacher", "finite": "finite data", "infinite": "infinite data",
}  # fmt: skip
FEWEST = 3  # least number of seeds for an interval: the interval of two seeds is wider than any figure
BANDS = {"range": (("pi", 100), "band: range over seeds"), "std": ("sd", "band: ±1 standard deviation over seeds")}

sns.set_theme(
    context="paper",
    style="ticks",
    rc={"axes.grid": True, "grid.alpha": 0.3, "font.size": 9, "legend.frameon": False, "svg.hashsalt": "luckmatters"},
)


def label_name(results: Results, label: str) -> str:
    """A label of the grid in words: the experiment's own words, or else the usual words."""
    multiplier = re.sub(r"^m(\d+)$", r"m = \1", label)
    size = re.sub(
        r"^x(\d+)(?:-(\d+))?$", lambda match: f"{'.'.join(filter(None, match.groups()))} × teacher", multiplier
    )
    return results.experiment.figure.labels.get(label) or LABELS.get(label, size)


def title(results: Results, variant: str, *, without: str | None = None) -> str:
    """A variant's labels in words, for the title of a panel.

    without: an axis of the grid that is left out.
    """
    labels = [label for axis, label in results.labels[variant].items() if axis != without]
    return ", ".join(label_name(results, label) for label in labels) or results.name


def layer_name(layer: int) -> str:
    """A layer in words. The lowest layer is layer 0, as published."""
    return f"layer {layer}" + (" (lowest)" if layer == 0 else "")


def curves(
    axes: Axes, rows: pd.DataFrame, *, band: str, published: pd.DataFrame | None = None, line: object = "-"
) -> None:
    """Draw one line a layer over epochs: mean over seeds, a band, and published values as thin dashed lines.

    band: a key of BANDS.
    """
    layers = sorted(rows["layer"].dropna().unique())
    palette = {layer: LAYER_COLORS[int(layer)] for layer in layers}
    known = rows.dropna(subset="value")
    if known.empty:
        axes.text(0.5, 0.5, "all seeds diverged", transform=axes.transAxes, ha="center")
        return
    few = known["epoch"].nunique() <= 12
    sns.lineplot(
        known.astype({"layer": int}), x="epoch", y="value", hue="layer", palette=palette, errorbar=BANDS[band][0],
        marker="o" if few else None, markersize=4, ax=axes, legend=False, linestyle=line,
    )  # fmt: skip
    if published is not None:
        shown = published[published["epoch"] <= rows["epoch"].max()].dropna(subset="value")
        for layer, line in shown[shown["layer"].isin(layers)].groupby("layer"):
            axes.plot(line["epoch"], line["value"], color=palette[layer], lw=0.9, ls=(0, (4, 2)), zorder=3)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, nbins=6))
    axes.set(xlabel="", ylabel="")


def network_curve(axes: Axes, rows: pd.DataFrame, *, band: str, line: object = "-") -> None:
    """Draw one line for the whole network over epochs: mean over seeds and a band.

    band: a key of BANDS.
    """
    known = rows.dropna(subset="value")
    few = known["epoch"].nunique() <= 12
    sns.lineplot(
        known, x="epoch", y="value", color=NETWORK_COLOR, errorbar=BANDS[band][0], marker="o" if few else None,
        markersize=4, ax=axes, legend=False, linestyle=line,
    )  # fmt: skip
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, nbins=6))
    axes.set(xlabel="", ylabel="")


def steps_an_epoch(run: Run) -> int:
    """Number of training steps of an epoch, in the pruned run and in the branches."""
    trained = run.trained.settings
    return math.ceil(trained.data.samples_per_epoch / trained.training.batch)


def plain_log(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with plain numbers; a short axis has numbers between powers of ten too."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    few = high / low < 30
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if high / low < 3:
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def layer_legend(
    figure: Figure,
    layers: list[int],
    *,
    published: bool,
    compared: Sequence[str] = (),
    others: Sequence[Artist] = (),
) -> None:
    """Draw one legend for the whole figure, above the panels.

    compared: the names of the labels that line styles tell apart. others: further entries.
    """
    handles = [plt.Line2D([], [], color=LAYER_COLORS[layer], lw=2, label=layer_name(layer)) for layer in layers]
    if published:
        handles.append(plt.Line2D([], [], color="0.3", lw=0.9, ls=(0, (4, 2)), label="published (digitized)"))
    for name, line in zip(compared, LINES, strict=False):
        handles.append(plt.Line2D([], [], color="0.3", lw=1.5, ls=line, label=name))
    handles += others
    columns = 4 if compared or len(handles) > figure.get_figwidth() / 1.3 else len(handles)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, fontsize=8)


def headline(figure: Figure, sentence: str) -> None:
    """Write a sentence above the legend, which stands above the panels."""
    lines = textwrap.fill(sentence, int(13 * figure.get_figwidth()))
    figure.legends[0].set_title(lines, prop={"size": 9.5})


def footer(figure: Figure, results: Results, *sentences: str) -> None:
    """Write under the panels: scale, seeds, data, settings, diverged seeds, dead teacher nodes, and given sentences."""
    text = "  ".join(
        [origin(results), settings(results), *sentences, *incidents(results), results.experiment.figure.published_note]
    )
    note(figure, text)


def note(figure: Figure, text: str) -> None:
    """Write small print under the panels."""
    width = int(figure.get_figwidth() * 19)
    lines = textwrap.fill(" ".join(text.split()), width)
    figure.supxlabel(lines, fontsize=6.5, color="0.25", x=0.01, ha="left")


def origin(results: Results) -> str:
    """Where the numbers come from, in a line: scale, what is not kept, seeds and data."""
    counts = sorted({len(run.seeds) for run in results.runs.values()})
    seeds = (
        f"{counts[0]} seed{'s' * (counts[0] > 1)}"
        if len(counts) == 1
        else f"{counts[0]} to {counts[-1]} seeds a variant"
    )
    data = "; ".join(dict.fromkeys(manifest["data"] for _, manifest in results.manifests))
    lacking = results.reduced.get(OF_WHAT_IS_KEPT)
    return f"Scale {results.scale}{f' ({OF_WHAT_IS_KEPT}: {lacking})' if lacking else ''}, {seeds}. Data: {data}."


def settings(results: Results) -> str:
    """The settings of the training of all variants, in a line, with alternatives where variants differ."""

    def either(values: Iterable[str]) -> str:
        return " or ".join(dict.fromkeys(values))

    runs = list(results.runs.values())
    if any(run.source for run in runs):
        return f"Measured on the runs of {either(run.trained.experiment for run in runs)}."
    if any(run.teacher is None for run in runs):
        return ""  # without a teacher file the layout describes the settings
    trained = [run.settings for run in runs]
    students = [chosen.student for chosen in trained]
    shapes = either(f"{run.settings.teacher.name} ({'-'.join(map(str, run.teacher.widths))})" for run in runs)
    rates = either(" then ".join(f"{stage.rate:g}" for stage in chosen.training.learning_rate) for chosen in trained)
    multipliers = ", ".join(dict.fromkeys(str(s.multiplier) for s in students if s.multiplier))
    sizes = either("-".join(map(str, s.widths)) for s in students if s.widths)
    students = "; ".join(filter(None, (multipliers and f"m = {multipliers}", sizes and f"students {sizes}")))
    samples = either(f"{chosen.data.evaluation_samples:,}" for chosen in trained)
    return f"Teacher {shapes}; {students}; learning rate {rates}; measured on {samples} samples."


def incidents(results: Results) -> list[str]:
    """Sentences on diverged seeds and on dead teacher nodes, where there are any."""
    diverged = [f"Diverged: {n} of {len(results.runs[v].seeds)} seeds in {v}." for v, n in results.diverged.items()]
    counts: dict[str, dict[int, float]] = {}  # dead nodes of each layer of a teacher, by seed
    for row in results.select("dead_teachers").query("epoch == 0").itertuples():
        run = results.runs[row.variant]
        key = f"of {run.teacher.widths[row.layer]} in {run.trained.settings.teacher.name} layer {row.layer}"
        counts.setdefault(key, {})[row.seed] = row.value
    dead = [f"{sum(n.values()) / len(n):.2g} {where}" for where, n in counts.items() if any(n.values())]
    return diverged + (
        [f"Dead teacher nodes (in ρ̄ on 192 samples alone; mean over seeds): {', '.join(dead)}."] if dead else []
    )
