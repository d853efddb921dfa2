"""A step of the ConvNet teacher on a graphics card: its operations launched one by one, and replayed from a recording.

python benchmarks/speed_card.py
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from luckmatters.config import Project
from luckmatters.experiments.teacher_training import untrained
from luckmatters.science.shapes import training_operations
from luckmatters.science.training import Trainer, cross_entropy

ROOT = Path(__file__).parents[1]
BATCH, WARM_UP, STEPS = 128, 10, 100


def milliseconds(step: Callable[[], None]) -> float:
    """The mean time of a step."""
    for _ in range(WARM_UP):
        step()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(STEPS):
        step()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / STEPS * 1e3


def main() -> None:
    if not torch.cuda.is_available():
        sys.exit("speed_card.py: needs a graphics card that torch can use")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    teacher = Project(ROOT, scale="paper").teachers["cifar-conv"]
    operations = BATCH * training_operations(teacher.shape, [*teacher.widths, teacher.outputs], teacher.kernel)
    x = torch.randn(BATCH, 3 * 32 * 32, device="cuda").T[None]
    labels = torch.randint(teacher.outputs, (1, BATCH), device="cuda")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; batches of {BATCH}\n")
    print("| convolutions in | one by one, ms | replayed, ms | one by one / replayed | TFLOP a second |")
    print("| --- | --- | --- | --- | --- |")
    for name, precision in (("bfloat16", torch.bfloat16), ("float32", None)):
        options = {"momentum": 0.9, "weight_decay": 5e-4, "precision": precision}
        trainer = Trainer(untrained(teacher, [0], device="cuda"), cross_entropy, **options)
        single = milliseconds(lambda its=trainer: its._step(x, labels, 0.01))
        replayed = milliseconds(lambda its=trainer: its.step(x, labels, 0.01))
        rate = operations / replayed / 1e9
        print(f"| {name} | {single:.2f} | {replayed:.2f} | {single / replayed:.1f} | {rate:.0f} |", flush=True)


if __name__ == "__main__":
    main()
