"""The first steps of a ConvNet 64-64-64-64 on labels, by where BatchNorm's scales below its output layer start.

    LUCKMATTERS_CIFAR10=… python investigations/readout_scale.py

Every image comes once, so that the loss on a batch before its step is one on new images. SGD with momentum 0.9, batch
64, rates falling to 0 by a cosine, weight decay by a constant product with the rate. About a minute of one core a row.

Behind docs/notes.md: "With BatchNorm's scales at 1 every rate that was tried with momentum 0.9 is too high for it at
first; `readout_scale: 0.1` mends that"; and config/teachers.yaml: "from 0.1 the loss never exceeds that of chance".
Output: readout_scale.txt.
"""

import numpy as np
import torch
from _shared import data, images, parser, teachers
from torch import Tensor

from luckmatters.jobs.device import keep_freed_memory
from luckmatters.learning.teachers import streams, untrained
from luckmatters.science.images import Cifar10
from luckmatters.science.networks import Networks
from luckmatters.science.training import Trainer, cosine, cross_entropy
from luckmatters.settings.teachers import Teacher

# First scale, first rate: torch's scale at two rates, and smaller ones at the rates that they might allow.
TRIALS = ((1.0, 0.003), (1.0, 0.01), (0.1, 0.01), (0.1, 0.03), (0.03, 0.015))
BATCH, MOMENTUM = 64, 0.9
DECAY = 2.5e-5  # rate times weight decay, by the image as in the recipe: 0.1 × 5e-4 for 128 images
LAST = 40  # steps whose mean loss is told: with a standard error of 0.02


def trial(teacher: Teacher, shown: Cifar10, scale: float, rate: float, steps: int) -> tuple[list[float], Networks]:
    """The loss on each step's images before it (`steps` numbers), and the one network after the last."""
    pretraining = teacher.pretraining.model_copy(update={"readout_scale": scale})
    networks, losses = untrained(teacher.model_copy(update={"pretraining": pretraining}), [0]), []

    def watched(output: Tensor, target: Tensor, gradient: Tensor, total: Tensor) -> float:
        losses.append(torch.nn.functional.cross_entropy(output, target).item())
        return cross_entropy(output, target, gradient, total)

    trainer = Trainer(networks, watched, momentum=MOMENTUM, weight_decay=DECAY / rate)
    for step, (x, labels) in zip(range(steps), shown.batches(streams([0]), 0), strict=False):  # a part of an epoch
        trainer.step(x, labels, rate * cosine(step, steps))
    return losses, networks


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--steps", type=int, default=100, help="of 64 images each (default: 100)")
    given = options.parse_args()
    steps, batch, last, trials = given.steps, BATCH, LAST, TRIALS
    if given.smallest:
        steps = batch = last = 2
        trials = TRIALS[:1]
    keep_freed_memory()
    torch.set_num_threads(1)
    read = images(smallest=given.smallest)
    if not last <= steps <= len(read.train_images) // batch:
        options.error(f"--steps: must be {last} to {len(read.train_images) // batch}, an epoch, got {steps}")
    shown = data(read, samples=len(read.train_images), batch=batch)
    teacher = teachers()["cifar-conv"]
    norm = untrained(teacher, [0]).weights[-1].norm()
    print(f"{read.description}; {steps} steps; norm of the output layer's weights at first {norm:.1f}\n")
    print(f"| scales at first | rate | greatest loss | loss, last {last} steps | scales at last | norm at last |")
    print("| --- | --- | --- | --- | --- | --- |")
    for scale, rate in trials:
        losses, networks = trial(teacher, shown, scale, rate, steps)
        late, scales = np.array(losses[-last:]), networks.norms[-1].weight
        loss = f"{late.mean():.2f} ± {late.std(ddof=1) / last**0.5:.2f}"
        found = (f"{scale:g}", f"{rate:g}", f"{max(losses):.1f}", loss, f"{scales.mean():.2f}")
        print(f"| {' | '.join(found)} | {networks.weights[-1].norm():.1f} |", flush=True)


if __name__ == "__main__":
    main()
