"""Layout ``decision-lines``: where hidden nodes of networks on two inputs switch on (authors' notebook)."""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from luckmatters.drawing.style import LAYER_COLORS, footer, title
from luckmatters.tables.results import Results

HALF = 3.0  # the window reaches from -HALF to HALF in both inputs
TEACHER, STUDENT = "0.1", LAYER_COLORS[0]
GAP = 0.3  # between neighbouring labels along the window's edge


def draw(results: Results, published: dict[str, pd.DataFrame]) -> Figure:
    """The figure, of the first seed. Rows: variants; columns: snapshots. Width and label of a line: fan-out norm."""
    snapshots = next(iter(results.runs.values())).settings.snapshots
    figure, grid = canvas(results, len(snapshots))
    for row, variant in zip(grid, results.runs, strict=True):
        for axes, epoch in zip(row, snapshots, strict=True):
            panel(axes, results, variant, epoch)
    finish(figure, results)
    return figure


def animate(results: Results) -> tuple[Figure, Callable[[int], None], int]:
    """A figure, a function that draws a frame, and the number of frames: an iteration of all variants a frame."""
    figure, grid = canvas(results, 1)
    finish(figure, results)
    epochs = min(run.settings.epochs for run in results.runs.values())

    def frame(epoch: int) -> None:
        for axes, variant in zip(grid.flat, results.runs, strict=True):
            axes.clear()
            panel(axes, results, variant, epoch)

    figure.get_layout_engine().set(w_pad=0.35)  # room for the labels of later frames: panels must not move
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure, frame, epochs + 1


def canvas(results: Results, columns: int) -> tuple[Figure, np.ndarray]:
    """A figure with a grid of square panels: a row a variant, or a single row of all variants for a single column."""
    rows = len(results.runs)
    shape, side = ((rows, columns), 2.6) if columns > 1 else ((1, rows), 4.2)
    size = (0.3 + side * shape[1], 0.9 + side * shape[0])
    return plt.subplots(*shape, figsize=size, squeeze=False, layout="constrained")


def finish(figure: Figure, results: Results) -> None:
    """Add legend and footer."""
    handles = [
        plt.Line2D([], [], color=TEACHER, lw=2, ls=(0, (4, 1.5)), label="teacher node"),
        plt.Line2D([], [], color=STUDENT, lw=2, label="student node"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=8)
    first = next(iter(results.runs.values()))
    settings = first.settings
    footer(
        figure, results,
        f"Seed {first.seeds[0]}; {settings.teacher_nodes} teacher nodes, {settings.outputs} outputs; learning rate "
        f"{settings.learning_rate:g}; an iteration is {settings.steps_per_epoch} steps. A node is on where the ticks "
        "point. Widths and numbers: norm of the fan-out weights. Outside: nodes whose line misses the window.",
    )  # fmt: skip


def panel(axes: Axes, results: Results, variant: str, epoch: int) -> None:
    """Draw the lines of a network and of the teacher, with labels along the window's edge."""
    tensors = results.tensors[variant][0]
    sets = [
        (tensors["teacher_lines"][0], tensors["teacher_fan_out"][0], TEACHER),
        (tensors["lines"][epoch, 0], tensors["fan_out"][epoch, 0], STUDENT),
    ]
    places, texts, outside = [], [], 0
    for lines, norms, color in sets:
        for line, norm in zip(lines.astype(float), norms, strict=True):
            ends = crossings(line)
            if ends is None:
                outside += 1
                continue
            draw_line(axes, line, ends, norm, color)
            places.append([edge_position(end) for end in ends])
            texts.append((f"{norm:.2f}", color))
    for place, exit_at, (text, color) in zip(*spread(places), texts, strict=True):
        label(axes, exit_at, place, text, color)
    axes.set(xlim=(-HALF, HALF), ylim=(-HALF, HALF), xticks=[], yticks=[], aspect="equal")
    axes.grid(visible=False)
    axes.set_title(
        f"{title(results, variant)}, iteration {epoch}{f' ({outside} outside)' if outside else ''}",
        fontsize=8.5,
        pad=17 * axes.bbox.height / 260,
    )


def crossings(line: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The points where the line w · x + b = 0 enters and leaves the window; None if it misses the window.

    line: (w_0, w_1, b).
    """
    w, b = line[:2], line[2]
    length = np.linalg.norm(w)
    if length == 0:
        return None
    nearest, along = -b * w / length**2, np.array([-w[1], w[0]]) / length
    with np.errstate(divide="ignore"):
        bounds = np.sort(np.stack([(-HALF - nearest) / along, (HALF - nearest) / along]), axis=0)
    enters, leaves = bounds[0].max(), bounds[1].min()
    if not enters < leaves:
        return None
    return nearest + enters * along, nearest + leaves * along


def draw_line(axes: Axes, line: np.ndarray, ends: tuple[np.ndarray, np.ndarray], norm: float, color: str) -> None:
    """Draw a line as wide as the node's fan-out norm, with two ticks on the side where the node is on."""
    (x0, y0), (x1, y1) = ends
    style = (0, (4, 1.5)) if color == TEACHER else "-"
    axes.plot([x0, x1], [y0, y1], color=color, lw=0.4 + 1.2 * norm, ls=style, alpha=0.75, solid_capstyle="butt")
    on = 0.22 * line[:2] / np.linalg.norm(line[:2])
    for part in (0.25, 0.75):
        x, y = (1 - part) * ends[0] + part * ends[1]
        axes.plot([x, x + on[0]], [y, y + on[1]], color=color, lw=0.8, alpha=0.75)


def edge_position(point: np.ndarray) -> float:
    """The distance of a point along the window's edge, counterclockwise from the lower left corner."""
    x, y = point
    distances = {0: abs(y + HALF), 1: abs(x - HALF), 2: abs(y - HALF), 3: abs(x + HALF)}
    side = min(distances, key=distances.get)
    return 2 * HALF * side + {0: x + HALF, 1: y + HALF, 2: HALF - x, 3: HALF - y}[side]


def edge_point(place: float, out: float = 0.0) -> np.ndarray:
    """The point at a distance along the window's edge (see :func:`edge_position`), moved by `out` beyond the edge."""
    side, along = divmod(place % (8 * HALF), 2 * HALF)
    along -= HALF
    reach = HALF + out
    return np.array([(along, -reach), (reach, along), (-along, reach), (-reach, -along)][int(side)])


def spread(ends: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """The places of the lines' labels along the edge, and for each line the end that the label belongs to.

    Each line in turn takes the end that is further from the ends taken so far. Then neighbouring labels push each other
    apart until they have room.
    ends: both ends of each line, as distances along the edge.
    """
    around, taken = 8 * HALF, []

    def distance(here: float, there: float) -> float:
        return min((here - there) % around, (there - here) % around)

    for pair in ends:
        taken.append(max(pair, key=lambda end: min((distance(end, there) for there in taken), default=around)))
    exits = np.array(taken)
    gap = min(GAP * 2, 0.95 * around / max(1, len(exits)))
    order = np.argsort(exits)
    places = exits[order].copy()
    for _ in range(500):
        gaps = np.diff(places, append=places[:1] + around)
        short = np.clip(gap - gaps, 0, None)
        if not short.any():
            break
        places += (np.roll(short, 1) - short) / 2
    result = np.empty_like(places)
    result[order] = places
    return result, exits


def label(axes: Axes, exit_at: float, place: float, text: str, color: str) -> None:
    """Write a number beyond the edge, tied to the end of a line."""
    x, y = edge_point(exit_at)
    tied = edge_point(place, 0.12)
    axes.plot([x, tied[0]], [y, tied[1]], color=color, lw=0.5, clip_on=False)
    side = int(place % (8 * HALF) // (2 * HALF))
    across, up = (("center", "top"), ("left", "center"), ("center", "bottom"), ("right", "center"))[side]
    weight = "bold" if color == TEACHER else "normal"
    axes.text(*edge_point(place, 0.16), text, color=color, fontsize=6, weight=weight, ha=across, va=up)
