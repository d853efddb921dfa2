"""Progress of a long job: a bar on a terminal, otherwise a line every 20 seconds."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
EVERY_S = 20.0  # seconds between lines


def progress(items: Iterable[T], *, total: int, label: str, done: int = 0) -> Iterator[T]:
    """Yield the items and report progress on standard error; done: number of items finished earlier."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, initial=done, desc=label, dynamic_ncols=True)
        return
    start = reported = time.monotonic()
    for index, item in enumerate(items, start=done + 1):
        yield item
        now = time.monotonic()
        if now - reported >= EVERY_S and index < total:
            left = (now - start) / (index - done) * (total - index)
            print(f"{label}: {100 * index / total:.0f} %, about {left:.0f} s left", file=sys.stderr, flush=True)
            reported = now
