"""What the scripts in this folder share: their options, and how they measure."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable

import torch
from torch.profiler import ProfilerActivity, profile

PRODUCTS = ("aten::bmm", "aten::baddbmm")  # the kind of operations that matrix products are


def parser(description: str) -> argparse.ArgumentParser:
    """A script's options: its own are to be added to ``--smallest``, which all scripts have."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--smallest", action="store_true", help="a trial of the script in seconds; its numbers are void"
    )
    return options


def begin(description: str, *, threads: int | None = None, rounds: int = 7) -> argparse.Namespace:
    """Read a script's options, set the threads and say so; threads, rounds, smallest.

    threads, rounds: what they are by default (threads: as many as torch takes).
    """
    options = parser(description)
    options.add_argument("--threads", type=int, default=threads or torch.get_num_threads())
    options.add_argument("--rounds", type=int, default=rounds)
    chosen = options.parse_args()
    if chosen.smallest:
        chosen.rounds = 1
    torch.set_num_threads(chosen.threads)
    print(f"{chosen.threads} threads, {chosen.rounds} rounds, torch {torch.__version__}\n")
    return chosen


def seconds(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """The time that a call takes."""
    start = clock()
    function()
    return clock() - start


def sgemm(size: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Operations a second of a single-precision product of two size × size matrices."""
    a, b = torch.randn(size, size), torch.randn(size, size)

    def products() -> None:
        for _ in range(3):
            a @ b

    return 3 * 2 * size**3 / seconds(products, clock)


def medians(rows: Iterable[tuple[float, ...]]) -> list[float]:
    """The median of every column; a row is a round."""
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def shares(function: Callable[[], object], *kinds: tuple[str, ...]) -> list[float]:
    """The share of a call's processor time in operations of each kind, by what their names begin with."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        function()
    own = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    return [sum(value for key, value in own.items() if key.startswith(kind)) / sum(own.values()) for kind in kinds]
