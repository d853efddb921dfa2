"""Layout ``overlap-curves``: a row a variant; ρ̄ and r̄ over epochs (the paper's main figures).

Variants that differ in the axis ``figure.compare`` alone share a row. Where samples have labels, also the evaluation
loss, and the students' accuracy with the teacher's.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.figures.style import (
    BANDS,
    LINES,
    NETWORK_QUANTITIES,
    QUANTITIES,
    curves,
    footer,
    label_name,
    layer_legend,
    network_curve,
    title,
)
from luckmatters.results import Results


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """Rows: variants in the order of the grid; columns: ρ̄ and r̄ by layer, and what the whole network is worth."""
    options = results.experiment.figure
    rows, band = list(grouped(results).values()), options.band
    labelled = not results.select("accuracy").empty
    quantities = QUANTITIES | (NETWORK_QUANTITIES if labelled else {})
    figure, grid = plt.subplots(
        len(rows), len(quantities), figsize=(10.8 if labelled else 7.2, 1.2 + 1.9 * len(rows)),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    compared = list(dict.fromkeys(its[options.compare] for its in results.labels.values())) if options.compare else []
    for panels, variants in zip(grid, rows, strict=True):
        panels[0].set_title(title(results, variants[0], without=options.compare), fontsize=8.5, loc="left")
        for axes, (quantity, label) in zip(panels, quantities.items(), strict=True):
            for variant in variants:
                line = LINES[compared.index(results.labels[variant][options.compare])] if compared else LINES[0]
                panel(axes, results, variant, quantity, line, published.get(variant))
            limits(axes, quantity)
            axes.set_ylabel(label, fontsize=8)
            if quantity == "accuracy":
                its = results.select("teacher_accuracy")
                level_line(axes, its[its["variant"].isin(variants)]["value"].mean(), "teacher", above=True)
            if quantity == "mean_rank":
                level_line(axes, 0.5, "chance", above=False)
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    layers = sorted(int(layer) for layer in results.select("correlation")["layer"].unique())
    layer_legend(figure, layers, published=bool(published), compared=[label_name(results, one) for one in compared])
    footer(figure, results, f"Mean over seeds; {BANDS[band][1]}.", *(accuracies(results) if labelled else []))
    return figure


def accuracies(results: Results) -> list[str]:
    """Sentences on the teachers' accuracies on the evaluation samples, against those published for CIFAR-10."""
    known = results.select("teacher_accuracy").groupby("variant")["value"].mean()
    real = all(not manifest["data"].startswith("synthetic") for _, manifest in results.manifests)
    found = {}
    for variant, run in results.runs.items():
        published = run.teacher.published_accuracy if real else None
        bar = f" (published {published:.2%})" if published else ""
        found[run.settings.teacher.name] = f"{known[variant]:.1%}{bar}"
    return [f"Accuracy of teacher {name} on these samples: {text}." for name, text in found.items()]


def grouped(results: Results) -> dict[tuple[str, ...], list[str]]:
    """The variants of each row, by the labels that they share; included ones first if the file says so."""
    options, rows = results.experiment.figure, {}
    order = sorted(
        results.runs, key=lambda one: options.included_first and results.runs[one].experiment == results.name
    )
    for variant in order:
        shared = tuple(label for axis, label in results.labels[variant].items() if axis != options.compare)
        rows.setdefault(shared, []).append(variant)
    return rows


def panel(
    axes: Axes, results: Results, variant: str, quantity: str, line: object, published: pd.DataFrame | None
) -> None:
    """One variant's curves of one quantity."""
    rows, band = results.select(quantity), results.experiment.figure.band
    rows = rows[rows["variant"] == variant]
    if quantity in QUANTITIES:
        reference = None if published is None else published[published["quantity"] == quantity]
        curves(axes, rows, band=band, published=reference, line=line)
    else:
        network_curve(axes, rows, band=band, line=line)


def limits(axes: Axes, quantity: str) -> None:
    """The same scale in every row."""
    if quantity in ("correlation", "accuracy"):
        axes.set_ylim(0, 1.02)
    elif quantity == "mean_rank":
        axes.set_ylim(-0.01, 0.52)
    else:
        axes.set_ylim(0, 1.05 * axes.dataLim.y1)


def level_line(axes: Axes, level: float, name: str, *, above: bool) -> None:
    """A dotted line at a level, with its name above or below, on the side where the curves are not."""
    axes.axhline(level, color="0.4", lw=0.8, ls=":")
    axes.annotate(
        name, (0.985, level), xycoords=axes.get_yaxis_transform(), xytext=(0, 2 if above else -2),
        textcoords="offset points", ha="right", va="bottom" if above else "top", fontsize=7,
    )  # fmt: skip
