"""Layout ``two-nodes``: measured against predicted times to converge, and against the initial overlap (Section 4)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from luckmatters.drawing.style import footer, title
from luckmatters.science.two_nodes import convergence_time
from luckmatters.tables.results import Results


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Rows: variants; columns: measured against predicted time, then time against initial overlap."""
    variants, levels = list(results.runs), next(iter(results.runs.values())).settings.levels
    figure, grid = plt.subplots(
        len(variants), 1 + len(levels), figsize=(0.8 + 2.9 * (1 + len(levels)), 1.2 + 2.5 * len(variants)),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    texts, last = [], None
    for row, variant in zip(grid, variants, strict=True):
        nodes = by_node(results, variant)
        settings = results.runs[variant].settings
        horizon = settings.epochs * settings.steps_per_epoch * settings.learning_rate
        row[0].set_title(f"{title(results, variant)}: cosine {levels[0]:g}", fontsize=8.5, loc="left")
        arrived = reached(nodes, levels[0])
        last = row[0].scatter(
            arrived[f"predicted_{levels[0]:g}"], arrived[f"time_{levels[0]:g}"], c=arrived["initial_cosine"], s=6, lw=0,
            cmap="viridis", vmin=-1, vmax=levels[0],
        )  # fmt: skip
        end = 1.05 * arrived[[f"predicted_{levels[0]:g}", f"time_{levels[0]:g}"]].max().max()
        row[0].plot([0, end], [0, end], color="0.3", lw=0.8, ls=":")
        row[0].set(xlabel="predicted time", ylabel="measured time", xlim=(0, end), ylim=(0, end))
        for axes, level in zip(row[1:], levels, strict=True):
            arrived = reached(nodes, level)
            axes.scatter(arrived["initial_cosine"], arrived[f"time_{level:g}"], s=6, lw=0, color="0.35", alpha=0.6)
            cosines = np.linspace(nodes["initial_cosine"].min(), level, 200)
            axes.plot(cosines, convergence_time(cosines, level), color="#d55e00", lw=1.2)
            axes.set_title(f"{title(results, variant)}: cosine {level:g}", fontsize=8.5, loc="left")
            axes.set(xlabel="initial overlap (cosine)", ylabel="measured time", ylim=(0, None))
            late = int((nodes["initial_cosine"] < level).sum() - len(arrived))
            ratio = arrived[f"time_{level:g}"] / arrived[f"predicted_{level:g}"]
            missing = f" ({late} more not there by time {horizon:g})" if late else ""
            name = f"{title(results, variant)}, cosine {level:g}"
            texts.append(f"{name}: {ratio.mean():.3f} ± {ratio.std():.3f}, {len(arrived)} nodes{missing}.")
    figure.colorbar(last, ax=grid[:, 0].tolist(), label="initial overlap (cosine)", location="left", shrink=0.6)
    handles = [
        plt.Line2D([], [], marker="o", ls="none", ms=4, color="0.35", label="a student node"),
        plt.Line2D([], [], color="#d55e00", label="prediction"),
        plt.Line2D([], [], color="0.3", ls=":", label="equality"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=8)
    run = results.runs[variants[0]].settings
    footer(
        figure, results,
        f"Two teacher nodes, students with their orthonormal fan-out, no biases; learning rate {run.learning_rate:g}, "
        f"{run.replicas} pairs of students a seed. Time: steps times learning rate. Predicted: from "
        "dθ/dt = −(π − θ) sin θ / 2π. Measured over predicted time (mean ± standard deviation):", *texts,
    )  # fmt: skip
    return figure


def by_node(results: Results, variant: str) -> pd.DataFrame:
    """A table of a variant with a row a student node and a column a quantity."""
    table = results.table[results.table["variant"] == variant]
    return table.pivot(index=["seed", "replica", "node"], columns="quantity", values="value")


def reached(nodes: pd.DataFrame, level: float) -> pd.DataFrame:
    """The nodes that start below a level and reach it."""
    return nodes[nodes["initial_cosine"] < level].dropna(subset=f"time_{level:g}")
