"""Layout ``overlap-curves``: a row a variant; ρ̄ and r̄ over epochs (the paper's main figures).

Variants that differ in the axis ``figure.compare`` alone share a row. Where samples have labels, further columns show
the evaluation loss, and the students' accuracy with the teacher's.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.drawing import overlap
from luckmatters.drawing.style import (
    BANDS,
    LINES,
    NETWORK_QUANTITIES,
    QUANTITIES,
    footer,
    label_name,
    layer_legend,
    network_curve,
    title,
)
from luckmatters.tables.results import Results


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Rows: variants in the order of the grid; columns: ρ̄ and r̄ by layer, then network quantities."""
    options = results.experiment.figure
    rows = list(grouped(results).values())
    labelled = not results.select("accuracy").empty
    quantities = QUANTITIES | (NETWORK_QUANTITIES if labelled else {})
    figure, grid = plt.subplots(
        len(rows), len(quantities), figsize=(10.8 if labelled else 7.2, 1.2 + 1.9 * len(rows)),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    compared = list(dict.fromkeys(row[options.compare] for row in results.labels.values())) if options.compare else []
    for panels, variants in zip(grid, rows, strict=True):
        panels[0].set_title(title(results, variants[0], without=options.compare), fontsize=8.5, loc="left")
        lines = {
            variant: LINES[compared.index(results.labels[variant][options.compare])] if compared else LINES[0]
            for variant in variants
        }
        for axes, (quantity, label) in zip(panels, quantities.items(), strict=True):
            if quantity in QUANTITIES:
                overlap.panel(axes, results, lines, quantity, published)
            else:
                network(axes, results, lines, quantity)
            limits(axes, quantity)
            axes.set_ylabel(label, fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    layers = sorted(int(layer) for layer in results.select("correlation")["layer"].unique())
    layer_legend(
        figure,
        layers,
        published=bool(published),
        compared=[label_name(results, label) for label in compared],
        others=overlap.legend_entries(),
    )
    footer(
        figure,
        results,
        f"Mean over seeds; {BANDS[options.band][1]}.",
        *overlap.sentences(results, rows, QUANTITIES, published),
        *(accuracies(results) if labelled else []),
    )
    return figure


def accuracies(results: Results) -> list[str]:
    """Sentences on the teachers' accuracies on the evaluation samples, with published accuracies for real images."""
    known = results.select("teacher_accuracy").groupby("variant")["value"].mean()
    real = all(not manifest["data"].startswith("synthetic") for _, manifest in results.manifests)
    texts = {}
    for variant, run in results.runs.items():
        published = run.teacher.published_accuracy if real else None
        bar = f" (published {published:.2%})" if published else ""
        texts[run.settings.teacher.name] = f"{known[variant]:.1%}{bar}"
    return [f"Accuracy of teacher {name} on these samples: {text}." for name, text in texts.items()]


def grouped(results: Results) -> dict[tuple[str, ...], list[str]]:
    """The variants of each row, by their shared labels; variants of included experiments first if the file says so."""
    options, rows = results.experiment.figure, {}
    order = sorted(
        results.runs, key=lambda variant: options.included_first and results.runs[variant].experiment == results.name
    )
    for variant in order:
        shared = tuple(label for axis, label in results.labels[variant].items() if axis != options.compare)
        rows.setdefault(shared, []).append(variant)
    return rows


def network(axes: Axes, results: Results, lines: dict[str, object], quantity: str) -> None:
    """Draw curves of a quantity of the whole network; beside students' accuracies, the level of the teachers'."""
    for variant, line in lines.items():
        rows = results.select(quantity)
        network_curve(axes, rows[rows["variant"] == variant], band=results.experiment.figure.band, line=line)
    if quantity == "accuracy":
        teachers = results.select("teacher_accuracy")
        overlap.level(axes, [teachers[teachers["variant"].isin(lines)]["value"].mean()], "teacher", above=True)


def limits(axes: Axes, quantity: str) -> None:
    """Set the vertical limits of a panel: fixed by quantity, from 0 for losses."""
    if quantity in ("correlation", "accuracy"):
        axes.set_ylim(0, 1.02)
    elif quantity == "mean_rank":
        axes.set_ylim(-0.01, 0.52)
    else:
        axes.set_ylim(0, 1.05 * axes.dataLim.y1)
