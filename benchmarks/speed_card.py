"""A step of the ConvNet teacher on a graphics card: its operations launched one by one, and replayed from a recording.

python benchmarks/speed_card.py
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from _common import parser

from luckmatters.config import Project
from luckmatters.learning.teachers import untrained
from luckmatters.science.shapes import training_operations
from luckmatters.science.training import Trainer, cross_entropy

ROOT = Path(__file__).parents[1]
BATCH, STEPS = 128, 100


def milliseconds(step: Callable[[], None], steps: int) -> float:
    """The mean time of a step, after a tenth as many to get ready."""
    for _ in range(steps // 10):
        step()
    wait()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    wait()
    return (time.perf_counter() - began) / steps * 1e3


def wait() -> None:
    """Until the card has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    smallest, card = parser(__doc__).parse_args().smallest, torch.cuda.is_available()
    if not card and not smallest:
        sys.exit("speed_card.py: needs a graphics card that torch can use")
    device, name = ("cuda", torch.cuda.get_device_name()) if card else ("cpu", "no graphics card")
    batch, steps = (2, 1) if smallest else (BATCH, STEPS)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    teacher = Project(ROOT, scale="paper").teachers["cifar-conv"]
    operations = batch * training_operations(teacher.shape, [*teacher.widths, teacher.outputs], teacher.kernel)
    x = torch.randn(batch, 3 * 32 * 32, device=device).T[None]
    labels = torch.randint(teacher.outputs, (1, batch), device=device)
    print(f"{name}, torch {torch.__version__}; batches of {batch}\n")
    print("| convolutions in | one by one, ms | replayed, ms | one by one / replayed | TFLOP a second |")
    print("| --- | --- | --- | --- | --- |")
    for kind, precision in (("bfloat16", torch.bfloat16), ("float32", None)):
        options = {"momentum": 0.9, "weight_decay": 5e-4, "precision": precision}
        trainer = Trainer(untrained(teacher, [0], device=device), cross_entropy, **options)
        single = milliseconds(lambda its=trainer: its._step(x, labels, 0.01), steps)
        replayed = milliseconds(lambda its=trainer: its.step(x, labels, 0.01), steps)
        rate = operations / replayed / 1e9
        print(f"| {kind} | {single:.2f} | {replayed:.2f} | {single / replayed:.1f} | {rate:.0f} |", flush=True)


if __name__ == "__main__":
    main()
