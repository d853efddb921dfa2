"""Layout ``fan-out``: fan-out norm of every node of the last hidden layer at a few epochs (paper, Theorem 5)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.drawing.style import footer, label_name
from luckmatters.judging.published import departures, joint_tolerance
from luckmatters.tables.results import Results

GROUPS = ("matched_norm", "unmatched_norm")


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure. Rows: variants, by the axis ``figure.rows``; columns: starts; a line a snapshot, mean over seeds."""
    variants = list(results.runs)
    starts = next(iter(results.runs.values())).settings.starts
    figure, grid = plt.subplots(
        len(variants), len(starts), figsize=(1.0 + 2.3 * len(starts), 1.6 + 1.85 * len(variants)),
        squeeze=False, sharex="row", sharey=True, layout="constrained",
    )  # fmt: skip
    for row, variant in zip(grid, variants, strict=True):
        for column, (axes, start) in enumerate(zip(row, starts, strict=True)):
            panel(axes, results, variant, column, published_levels(published.get(variant), start))
            end = final(results, variant, start)
            ends = f"ends at {end['matched_norm']:.2f} | {end['unmatched_norm']:.2f}"
            axes.text(0.97, 0.95, ends, transform=axes.transAxes, ha="right", va="top", fontsize=7.5)
        row[0].set_ylabel(
            f"{label_name(results, results.labels[variant][results.experiment.figure.rows])}\nfan-out norm"
        )
    for axes, shares in zip(grid[0], starts.values(), strict=True):
        axes.set_title(f"({', '.join(f'{share:g}' for share in shares)})\n{start_name(shares)}", fontsize=8.5)
    for axes in grid[-1]:
        axes.set_xlabel("hidden node")
    grid[0, 0].set_ylim(0, 1.05 * max(axes.dataLim.y1 for axes in grid.flat))
    legend(figure, results, published=bool(published))
    footer(figure, results, *sentences(results))
    return figure


def shades(epochs: list[int]) -> dict[int, tuple]:
    """A colour for each epoch, light for the first, dark for the last."""
    return dict(zip(epochs, sns.color_palette("viridis_r", len(epochs) + 1)[1:], strict=True))


def panel(axes: Axes, results: Results, variant: str, start: int, published: pd.DataFrame) -> None:
    """Draw every node's fan-out norm at each snapshot, matched nodes left of the line; published means as marks."""
    settings = results.runs[variant].settings
    layer, matched = len(settings.widths) - 3, settings.widths[-2]
    norm = np.concatenate([job[f"norm/{layer}"] for job in results.tensors[variant]], axis=1)[:, :, start]
    nodes = np.arange(norm.shape[2])
    for (epoch, color), values in zip(shades(settings.snapshots).items(), np.nanmean(norm, axis=1), strict=True):
        axes.plot(nodes, values, color=color, lw=0.9)
        for group, span in zip(GROUPS, ((0, matched), (matched, len(nodes))), strict=True):
            for level in published[(published["epoch"] == epoch) & (published["quantity"] == group)]["value"]:
                axes.plot(np.mean(span), level, marker="o", ms=4, mfc=color, mec="black", mew=0.8, ls="none", zorder=4)
    axes.axvline(matched - 0.5, color="0.4", lw=0.8, ls=":")
    axes.set_xlim(-0.5, len(nodes) - 0.5)


def published_levels(published: pd.DataFrame | None, start: str) -> pd.DataFrame:
    """The published levels of a start, without rows where nothing was published."""
    if published is None:
        return pd.DataFrame(columns=["epoch", "quantity", "value"])
    return published[published["start"] == start]


def levels(results: Results, variant: str, start: str) -> pd.DataFrame:
    """Mean norms of matched and unmatched nodes in the last hidden layer: a row an epoch, a column a group."""
    table = results.table[(results.table["variant"] == variant) & (results.table["start"] == start)]
    rows = table[table["quantity"].isin(GROUPS) & (table["layer"] == table["layer"].max())]
    return rows.pivot_table(index="epoch", columns="quantity", values="value")


def start_name(shares: list[float]) -> str:
    """A start in words: the alignment of the layers below the fan-out, lowest first, and of the fan-out."""
    words = ["aligned" if share >= 1 else "weakly aligned" if share > 0 else "random" for share in shares]
    return f"below: {', then '.join(dict.fromkeys(words[:-1]))}\nfan-out: {words[-1]}"


def sentences(results: Results) -> list[str]:
    """Sentences on the lines, on starts without aligned lower layers, on winners, and on published levels."""
    first = next(iter(results.runs.values())).settings
    epochs, steps = first.epochs, first.steps_per_epoch
    form = {"matrix": "matrix form", "accurate": "accurate gradient"}[first.gradient]
    texts = [
        f"Widths {'-'.join(map(str, first.widths))} of the teacher; {form}, learning rate {first.learning_rate:g}, "
        f"{epochs * steps:,} steps. A line a saved iteration (one every {steps} steps), mean over seeds. Left of the "
        "dotted line: matched nodes, which start with shares of a teacher node's weights (in brackets, lowest layer "
        "first); top right: where both groups end."
    ]
    loose = [name for name, shares in first.starts.items() if min(shares[:-1]) < 1]
    for start in loose:
        tables = [levels(results, variant, start) for variant in results.runs]
        matched, others = ([100 * norms[group].iloc[-1] / norms[group].iloc[0] for norms in tables] for group in GROUPS)
        shares = ", ".join(f"{share:g}" for share in first.starts[start])
        texts.append(
            f"From ({shares}), where a layer below is not aligned, matched nodes end with {between(matched)} of their "
            f"initial norm, the others with {between(others)}."
        )
    if len(first.widths) == 3:
        ends = [final(results, variant, start) for variant in results.runs for start in first.starts]
        winners, others = ([f"{norms[group]:.2f}" for norms in ends] for group in ("winner_norm", "other_norm"))
        texts.append(
            "Winners, the nodes whose fan-in ends closest to a teacher node's, whichever they are, end at "
            f"{min(winners)} to {max(winners)} from all starts, all others at {min(others)} to {max(others)}."
        )
    compared = departures(results)
    if len(compared):
        tolerance, worst = joint_tolerance(compared), compared.loc[compared["departure"].abs().idxmax()]
        inside = int((compared["departure"].abs() <= tolerance).sum())
        texts.append(
            f"Within {tolerance:.1f} standard errors of the published level: {inside} of {len(compared)}; the furthest "
            f"is {worst['mean']:.3f} against {worst['value']:.3f} ({worst['quantity'].replace('_norm', '')}, start "
            f"{worst['start']}, iteration {worst['epoch']}), {abs(worst['departure']):.1f} away."
        )
    return texts


def final(results: Results, variant: str, start: str) -> pd.Series:
    """Mean over seeds of each quantity of the last hidden layer at the last epoch."""
    table = results.table[(results.table["variant"] == variant) & (results.table["start"] == start)]
    rows = table[(table["epoch"] == table["epoch"].max()) & (table["layer"] == table["layer"].max())]
    return rows.groupby("quantity")["value"].mean()


def between(shares: list[float]) -> str:
    """A range in percent."""
    low, high = (f"{share:.0f}" for share in (min(shares), max(shares)))
    return f"{low} %" if low == high else f"{low} to {high} %"


def legend(figure: Figure, results: Results, *, published: bool) -> None:
    """Draw one legend for saved iterations and published marks."""
    snapshots = next(iter(results.runs.values())).settings.snapshots
    handles = [plt.Line2D([], [], color=color, lw=2, label=f"{epoch}") for epoch, color in shades(snapshots).items()]
    if published:
        handles.append(
            plt.Line2D([], [], marker="o", ls="none", ms=4, mfc="0.8", mec="black", label="published mean (digitized)")
        )
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8, title="saved iteration")
