"""How fast the training loop is, against the usual loops and the machine's own matrix-product rate.

    python benchmarks/speed.py [--threads N] [--rounds R]

Prints one table. Everything is measured in this one process, in turn, several rounds ((b), whose workers must not
disturb the rest, after it and beside ours again); a cell is the median of the rounds and ratios are medians of ratios
within a round, since machines are noisy. The loops do the same work: GAUS samples, labels from a random teacher, plain
SGD with batch 64. The last table shows where the time of our loop goes.

ours: the package's training loop, all seeds at once, data and labels included.
(a): one network after another; torch modules, autograd, torch.optim.SGD; data and labels as tensors.
(b): the same as the authors' script does it, a whole epoch of 100,000 samples: a DataLoader with 4 workers, started
anew for the epoch, that takes samples one by one, each with a placeholder label; the teacher's graph recorded; the loss
checked for NaN.
SGEMM: 2 · 2048³ operations over the time of a 2048 × 2048 matrix product. Of ours, only the students' products count.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from _common import PRODUCTS, begin, medians, seconds, sgemm, shares
from torch import nn
from torch.utils.data import DataLoader, Dataset

from luckmatters.learning.evaluation import Evaluation, evaluate
from luckmatters.learning.students import train_epoch
from luckmatters.science.data import Gaus
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.shapes import training_operations
from luckmatters.science.teachers import draw_teachers
from luckmatters.science.training import Trainer

BATCH, INPUTS, OUTPUTS, RATE, EPOCH = 64, 20, 100, 0.01, 100_000


@dataclass(frozen=True)
class Case:
    """Students of a teacher: its hidden widths, the multiplier, seeds, BatchNorm."""

    name: str
    widths: tuple[int, ...]
    multiplier: int
    seeds: int
    batch_norm: bool = False

    @property
    def shape(self) -> list[int]:
        """Nodes of the student's layers, the output layer last."""
        return [self.multiplier * width for width in self.widths] + [OUTPUTS]

    def operations(self) -> float:
        """Floating-point operations of one step of one seed."""
        return BATCH * training_operations((INPUTS,), self.shape)


SMALL, LARGE = (10, 15, 20, 25), (50, 75, 100, 125)
CASES = [
    Case("small teacher, x10, 8 seeds", SMALL, 10, 8),
    Case("small teacher, x1, 32 seeds", SMALL, 1, 32),
    Case("large teacher, x10, 4 seeds", LARGE, 10, 4),
    Case("large teacher, x10, 4 seeds, BatchNorm", LARGE, 10, 4, batch_norm=True),
]


class Samples(Dataset):
    """Items one by one with a placeholder label, as the authors' loader serves them."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.x[index], -1


def modules(case: Case) -> nn.Sequential:
    """One student of ordinary modules."""
    layers, sizes = [], [INPUTS, *case.shape]
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
        if case.batch_norm:
            layers.append(nn.BatchNorm1d(b))
    return nn.Sequential(*layers[: -2 if case.batch_norm else -1])


def usual_steps(student: nn.Module, teacher: nn.Module, batches, count: int) -> float:
    """Seconds a step of the usual loop."""
    optimizer = torch.optim.SGD(student.parameters(), lr=RATE)

    def steps() -> None:
        for _, x in zip(range(count), batches, strict=False):
            with torch.no_grad():
                y = teacher(x)
            optimizer.zero_grad()
            nn.functional.mse_loss(student(x), y).backward()
            optimizer.step()

    return seconds(steps) / count


def published_steps(student: nn.Module, teacher: nn.Module, samples: torch.Tensor, workers: int) -> float:
    """Seconds a step of the authors' loop, over one epoch of the samples."""
    optimizer = torch.optim.SGD(student.parameters(), lr=RATE)
    loader = DataLoader(Samples(samples), batch_size=BATCH, shuffle=True, num_workers=workers)

    def steps() -> None:
        for x, _ in loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(student(x), teacher(x).detach())
            if loss.isnan().item():
                break
            loss.backward()
            optimizer.step()

    return seconds(steps) / len(loader)


def teachers_of(case: Case, seeds: Sequence[int]) -> Networks:
    return draw_teachers((INPUTS,), [*case.widths, OUTPUTS], init="separated", seeds=seeds)


def trainer_of(case: Case, seeds: Sequence[int]) -> Trainer:
    return Trainer(initialize_students((INPUTS,), case.shape, seeds=seeds, batch_norm=case.batch_norm))


def our_steps(case: Case, steps: int, seeds: int | None = None) -> Callable[[], float]:
    """A function that gives the seconds a step of one seed in the package's loop."""
    numbers = range(seeds or case.seeds)
    teachers, trainer = teachers_of(case, numbers), trainer_of(case, numbers)
    data = Gaus(INPUTS, 10.0, BATCH * steps, True, BATCH)
    return lambda: seconds(lambda: train_epoch(trainer, teachers, data, numbers, 0, RATE)) / steps / len(numbers)


def evaluation(case: Case) -> Callable[[], float]:
    """A function that gives the seconds of one evaluation of one seed: 8,192 samples, all statistics."""
    numbers = range(case.seeds)
    teachers, unrelated = (teachers_of(case, seeds) for seeds in (numbers, [-1 - n for n in numbers]))
    trainer = trainer_of(case, numbers)
    x, labels = Gaus(INPUTS, 10.0, BATCH, True, BATCH).evaluation_set(numbers, 8192)
    evaluation = Evaluation(teachers, unrelated, x, labels, on_labels=False)
    return lambda: seconds(lambda: evaluate(evaluation, trainer)) / case.seeds


def parts(case: Case, steps: int) -> dict[str, float]:
    """Milliseconds a step and seed of each part of our loop; the steps' own split is the profiler's."""
    numbers = range(case.seeds)
    teachers, trainer = teachers_of(case, numbers), trainer_of(case, numbers)
    times = [time.perf_counter()]
    blocks = list(Gaus(INPUTS, 10.0, BATCH * steps, True, BATCH).blocks(numbers, 0))
    times.append(time.perf_counter())
    pairs = [(x, teachers(x)) for block in blocks for x in block.split(BATCH, 2)]
    times.append(time.perf_counter())

    def train() -> None:
        for x, y in pairs:
            trainer.step(x, y, RATE)

    train()
    times.append(time.perf_counter())
    (share,) = shares(train, PRODUCTS)
    drawing, labelling, stepping = (
        1e3 * (after - before) / steps / case.seeds for before, after in itertools.pairwise(times)
    )
    return {
        "drawing samples": drawing, "labels": labelling, "matrix products": stepping * share,
        "the rest of the steps": stepping * (1 - share),
    }  # fmt: skip


def main() -> None:
    chosen = begin(__doc__)
    cases, epoch, size, workers, unit = CASES, EPOCH, 2048, 4, 32
    if chosen.smallest:
        cases = [replace(case, widths=(3, 4), seeds=2) for case in CASES]
        epoch, size, workers, unit = 2 * BATCH, 64, 0, 1
    samples = torch.randn(epoch, INPUTS) * 10
    sgemm(size)

    print("| case | ours, ms a step and seed | TFLOP/s | (a) / ours | (b) / ours | of SGEMM | evaluation / epoch |")
    print("| --- " * 7 + "|")
    times: dict[str, list[float]] = {}
    for case in cases:
        steps = 2 if chosen.smallest else max(16, int(0.4 / (case.operations() * case.seeds / 6e10 + 3e-4)))
        ours, evaluate = our_steps(case, steps), evaluation(case)
        teacher, student = modules(Case("", case.widths, 1, 1)), modules(case)
        ours(), evaluate()
        rows = []
        for _ in range(chosen.rounds):
            rate = sgemm(size)
            own = ours()
            batches = samples[torch.randperm(len(samples))].split(BATCH)
            tight = usual_steps(student, teacher, batches, min(len(batches), max(20, steps)))
            rows.append((own, tight / own, case.operations() / own / rate, evaluate() / (own * EPOCH / BATCH)))
        own, tight, share, evaluated = medians(rows)
        fed = statistics.median(published_steps(student, teacher, samples, workers) / ours() for _ in range(3))
        times[case.name] = [row[0] for row in rows]
        print(
            f"| {case.name} | {own * 1e3:.3f} | {case.operations() / own / 1e12:.2f} | {tight:.1f} | {fed:.1f} | "
            f"{share:.0%} | {evaluated:.1%} |",
            flush=True,
        )
    ratio = statistics.median(b / a for a, b in zip(times[cases[2].name], times[cases[3].name], strict=True))
    print(f"\nBatchNorm, time with / without (large teacher): {ratio:.2f}")

    case = cases[0]
    print("\nCost against steps and seeds (small teacher, x10), relative to the first:")
    by_steps = {steps: our_steps(case, steps) for steps in (unit, 2 * unit, 4 * unit, 8 * unit)}
    by_seeds = {seeds: our_steps(case, 2 * unit, seeds) for seeds in (2, 4, 8, 16)}
    for name, functions, work in (
        ("steps", by_steps, lambda steps: steps * case.seeds),
        ("seeds", by_seeds, lambda seeds: 2 * unit * seeds),
    ):
        rounds = [{key: one() * work(key) for key, one in functions.items()} for _ in range(chosen.rounds + 1)][1:]
        first = next(iter(functions))
        ratios = medians([one[key] / one[first] for key in functions] for one in rounds)
        shown = ", ".join(f"{key}: {ratio:.1f}" for key, ratio in zip(functions, ratios, strict=True))
        print(f"  {name} {shown}")

    print("\nWhere our loop's time goes, ms a step and seed:")
    for case in cases:
        parts(case, unit)
        print(f"  {case.name}: " + ", ".join(f"{name} {value:.3f}" for name, value in parts(case, 8 * unit).items()))


if __name__ == "__main__":
    main()
