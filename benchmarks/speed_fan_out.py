"""How fast the matrix dynamics run, against one run at a time.

    python benchmarks/speed_fan_out.py [--threads N] [--rounds R]

Everything is measured in this one process, in turn, several rounds; a cell is the median of the rounds and a ratio the
median of ratios within a round. Times are those of the processor (of all threads together), so that other work on the
machine counts little; with one thread they are the times that a quiet machine takes.

ours: the package's loop on a job's batch (8 seeds × 4 starts), samples included.
(a): one run after another, every matrix of the formula formed (L, L*, H, H*), nothing else.
(b): the same as the authors' script does it: at every step also the correlations of all student and teacher nodes, the
best student of each teacher node, the rows that belong to it, and the loss as a Python number.
SGEMM: 2 · 2048³ operations over the time of a 2048 × 2048 matrix product. Of ours, the operations of products count, of
which those of gates are done in a shorter type where the processor has one (and are exact).
The full grid (3 multipliers × 4 starts × 32 seeds × 20,000 steps) is estimated from these steps, not run.
"""

import time
from collections.abc import Callable

import torch
from _common import PRODUCTS, begin, medians, seconds, sgemm, shares
from torch import Tensor

from luckmatters.kinds.fan_out.run import samples
from luckmatters.science.dynamics import Dynamics, draw_students, draw_teacher, with_constant
from luckmatters.science.random import generator

WIDTHS, STARTS, BATCH, RATE = [10, 20, 30], [[1.0, 0.0], [1.0, 0.3], [1.0, 1.0], [0.3, 1.0]], 64, 0.05
MULTIPLIERS, SEEDS, STEPS, GRID_SEEDS, GRID_STEPS = (2, 5, 10), 8, 40, 32, 20_000
MOVING = ("aten::copy_", "aten::mul_", "aten::clamp", "aten::gt")


def draw(multiplier: int) -> tuple[list[Tensor], list[Tensor]]:
    """Teachers and students of a job."""
    teachers, students = [], []
    for seed in range(SEEDS):
        teachers.append(draw_teacher(WIDTHS, 0.1, generator=generator("speed", seed)))
        students.append(draw_students(teachers[-1], multiplier, STARTS, generator=generator("speed", seed)))
    return tuple([torch.stack(layer) for layer in zip(*networks, strict=True)] for networks in (teachers, students))


def ours(multiplier: int, steps: int) -> Callable[[], object]:
    """A function that takes steps of every run of a job."""
    teacher, students = draw(multiplier)
    dynamics = Dynamics(students, teacher)
    return lambda: dynamics.run(with_constant(samples(range(SEEDS), 0, steps, BATCH, WIDTHS[0])), RATE)


def usual(multiplier: int, count: int, *, as_published: bool) -> Callable[[], object]:
    """A function that takes steps of one run."""
    teacher, students = draw(multiplier)
    teacher, student = [weight[0] for weight in teacher], [weight[0, 2] for weight in students]

    def steps() -> None:
        for _ in range(count):
            x = torch.cat([torch.randn(BATCH, WIDTHS[0]), torch.ones(BATCH, 1)], dim=1)
            usual_step(x, student, teacher, as_published)

    return steps


def hidden(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """A layer's activations and gates, with the constant node."""
    sums, one = x @ weight, torch.ones(len(x), 1)
    gate = (sums > 0).float()
    return torch.cat([gate * sums, one], dim=1), torch.cat([gate, one], dim=1)


def usual_step(x: Tensor, student: list[Tensor], teacher: list[Tensor], as_published: bool) -> None:
    """A step of one run, the weights changed in place."""
    ours, theirs, gates = [x], [x], []
    for own, its in zip(student[:-1], teacher[:-1], strict=True):
        (one, gate), (other, its_gate) = hidden(ours[-1], own), hidden(theirs[-1], its)
        ours.append(one)
        theirs.append(other)
        gates.append((gate, its_gate))
    h = [torch.eye(student[-1].shape[1])]
    h_star = [h[0]]
    for own, its, (gate, its_gate) in zip(student[:0:-1], teacher[:0:-1], gates[::-1], strict=True):
        h.insert(0, (own @ h[0] @ own.T * (gate.T @ gate / len(x)))[:-1, :-1])
        h_star.insert(0, (own @ h_star[0] @ its.T * (gate.T @ its_gate / len(x)))[:-1, :-1])
    second = [one.T @ one / len(x) for one in ours]
    cross = [one.T @ other / len(x) for one, other in zip(ours, theirs, strict=True)]
    if as_published:
        for layer in range(len(gates)):
            closest = correlation(ours[layer + 1], theirs[layer + 1]).argmax(0)
            _ = cross[layer + 1][closest], h_star[layer][closest]
        _ = (hidden(ours[-1], student[-1])[0] - hidden(theirs[-1], teacher[-1])[0]).norm().item()
    changes = [
        cross[layer] @ its @ h_star[layer].T - second[layer] @ own @ h[layer].T
        for layer, (own, its) in enumerate(zip(student, teacher, strict=True))
    ]
    for own, change in zip(student, changes, strict=True):
        own += RATE * change
        own /= own.norm(dim=0, keepdim=True)


def correlation(ours: Tensor, theirs: Tensor) -> Tensor:
    """Of all student with all teacher nodes, without the constant ones, (n, n°)."""
    one, other = (x[:, :-1] - x[:, :-1].mean(0) for x in (ours, theirs))
    return (one / (one.norm(dim=0) + 1e-10)).T @ (other / (other.norm(dim=0) + 1e-10))


def operations(multiplier: int) -> float:
    """Floating-point operations of the products of one step of one run, as ours does them."""
    inputs, nodes, outputs, its = WIDTHS[0] + 1, multiplier * WIDTHS[1], WIDTHS[2], WIDTHS[1]
    forward = BATCH * (inputs * nodes + (nodes + 1) * outputs)
    down = nodes * (nodes + its) * (outputs + BATCH)
    update = (nodes + 1) * outputs * BATCH + inputs * inputs * nodes + inputs * nodes * (nodes + its)
    return 2.0 * (forward + down + update)


def parts(multiplier: int, steps: int) -> str:
    """Where our loop's time goes."""
    run = ours(multiplier, steps)
    run()
    products, moving = shares(run, PRODUCTS, MOVING)
    rest = 1 - products - moving
    return f"matrix products {products:.0%}, gates, ReLU, elementwise {moving:.0%}, the rest {rest:.0%}"


def main() -> None:
    chosen = begin(__doc__)
    steps, multipliers, size = (2, MULTIPLIERS[:1], 512) if chosen.smallest else (STEPS, MULTIPLIERS, 2048)
    clock = time.process_time
    sgemm(size)
    print("| multiplier | ours, µs a step and run | (a) / ours | (b) / ours | of SGEMM |\n" + "| --- " * 5 + "|")
    grid = {"ours": 0.0, "(a)": 0.0, "(b)": 0.0}
    for multiplier in multipliers:
        own = ours(multiplier, steps)
        lean, full = (usual(multiplier, steps, as_published=published) for published in (False, True))
        own(), lean(), full()
        rows = []
        for _ in range(chosen.rounds):
            rate = sgemm(size, clock)
            fast = seconds(own, clock) / steps / SEEDS / len(STARTS)
            one, other = seconds(lean, clock) / steps, seconds(full, clock) / steps
            rows.append((fast, one / fast, other / fast, operations(multiplier) / fast / rate, one, other))
        fast, *ratios, share, one, other = medians(rows)
        print(f"| {multiplier} | {fast * 1e6:.0f} | {ratios[0]:.1f} | {ratios[1]:.1f} | {share:.0%} |", flush=True)
        for name, value in zip(grid, (fast, one, other), strict=True):
            grid[name] += value * GRID_SEEDS * len(STARTS) * GRID_STEPS
    print("\nFull grid, estimated from these steps, minutes of one processor:", end=" ")
    print(", ".join(f"{name} {value / 60:.0f}" for name, value in grid.items()))
    print(f"(a) / ours {grid['(a)'] / grid['ours']:.1f}, (b) / ours {grid['(b)'] / grid['ours']:.1f}")
    print("\nWhere our loop's time goes:")
    for multiplier in multipliers:
        print(f"  {multiplier}: {parts(multiplier, steps)}")


if __name__ == "__main__":
    main()
