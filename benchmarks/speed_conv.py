"""How fast ConvNets train, against the usual loop and the machine's own convolution rate; and what images cost.

    python benchmarks/speed_conv.py [--threads N] [--rounds R]

As in benchmarks/speed.py, everything is measured in this one process, in turn, several rounds; a cell is the median of
the rounds, a ratio the median of ratios within a round.

ours: the package's training loop, all seeds at once, data and labels included.
(a): one network after another; torch modules, autograd, torch.optim.SGD; data and labels as tensors.
best rate: operations a second of the second layer's convolution (forward, weight and input gradients), in the best of
four ways: channels or samples innermost, seeds as groups or one after another. Of ours, only the students' convolutions
and products count.
(c): images by a DataLoader with PIL transforms (crop, flip, to tensor, normalize) and 2 workers.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable

import torch
from _common import begin, medians, seconds
from torch import nn
from torch.utils.data import DataLoader, Dataset

from luckmatters.learning.students import train_epoch
from luckmatters.science.data import Gaus
from luckmatters.science.images import MEAN, PADDING, STD, Cifar10
from luckmatters.science.networks import initialize_students
from luckmatters.science.shapes import training_operations
from luckmatters.science.teachers import draw_teachers
from luckmatters.science.training import Trainer
from luckmatters.torchvision_shim import import_torchvision

BATCH, IMAGE, CHANNELS, MULTIPLIER, SEEDS, OUTPUTS, RATE, STEPS = 64, (1, 16, 16), 8, 4, 4, 100, 0.01, 16
WIDTHS = [CHANNELS] * 4
STUDENT = [*(MULTIPLIER * width for width in WIDTHS), OUTPUTS]


def ours(batch_norm: bool, steps: int) -> Callable[[], float]:
    """A function that gives the seconds a step of one seed in the package's loop."""
    numbers = range(SEEDS)
    teachers = draw_teachers(IMAGE, [*WIDTHS, OUTPUTS], init="separated", seeds=[0], kernel=3)
    trainer = Trainer(initialize_students(IMAGE, STUDENT, seeds=numbers, kernel=3, batch_norm=batch_norm))
    data = Gaus(math.prod(IMAGE), 10.0, BATCH * steps, True, BATCH)
    return lambda: seconds(lambda: train_epoch(trainer, teachers, data, numbers, 0, RATE)) / steps / SEEDS


def modules(widths: list[int], batch_norm: bool) -> nn.Sequential:
    """One network of ordinary modules."""
    layers = []
    for a, b in itertools.pairwise([IMAGE[0], *widths[:-1]]):
        layers += [nn.Conv2d(a, b, 3), nn.ReLU(), *([nn.BatchNorm2d(b)] if batch_norm else [])]
    side = IMAGE[1] - 2 * len(widths[:-1])
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-2] * side**2, widths[-1]))


def usual(batch_norm: bool, count: int) -> Callable[[], float]:
    """The same of the usual loop."""
    student, teacher = modules(STUDENT, batch_norm), modules([*WIDTHS, OUTPUTS], False)
    optimizer = torch.optim.SGD(student.parameters(), lr=RATE)
    batches = (10 * torch.randn(count, BATCH, *IMAGE)).unbind()

    def steps() -> None:
        for x in batches:
            with torch.no_grad():
                y = teacher(x)
            optimizer.zero_grad()
            nn.functional.mse_loss(student(x), y).backward()
            optimizer.step()

    return lambda: seconds(steps) / count


def best_rate() -> Callable[[], float]:
    """A function that gives the operations a second of the best way to do the second layer."""
    width, side = STUDENT[0], IMAGE[1] - 2
    ways = []
    for groups, repeat in ((SEEDS, 1), (1, SEEDS)):
        for layout in (torch.contiguous_format, torch.channels_last):
            x = torch.randn(BATCH, groups * width, side, side).contiguous(memory_format=layout)
            weight = torch.randn(groups * width, width, 3, 3).contiguous(memory_format=layout)
            g = torch.randn(BATCH, groups * width, side - 2, side - 2).contiguous(memory_format=layout)
            ways.append((x, weight, g, groups, repeat))

    def run(x: torch.Tensor, weight: torch.Tensor, g: torch.Tensor, groups: int, repeat: int) -> None:
        for _ in range(repeat):
            torch.conv2d(x, weight, groups=groups)
            torch.ops.aten.convolution_backward(
                g, x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], groups, [True, True, False]
            )

    count = 3 * 2 * BATCH * SEEDS * width**2 * 9 * (side - 2) ** 2
    return lambda: count / min(seconds(lambda way=way: run(*way)) for way in ways)


class Pictures(Dataset):
    """PIL images through the transforms that the authors' script uses."""

    def __init__(self, images: torch.Tensor) -> None:
        from PIL import Image

        transforms = import_torchvision().transforms
        self.pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=PADDING),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.pictures[index]), 0


def main() -> None:
    chosen = begin(__doc__)
    rounds, steps, batches, workers = chosen.rounds, STEPS, 50, 2
    if chosen.smallest:
        steps, batches, workers = 1, 1, 0
    print("| 8 channels, x4, 4 seeds, 16×16 | ours, ms a step and seed | TFLOP/s | (a) / ours | of the best rate |")
    print("| --- " * 5 + "|")
    rate, operations = best_rate(), BATCH * training_operations(IMAGE, STUDENT, 3)
    rate()
    for batch_norm in (False, True):
        our, their = ours(batch_norm, steps), usual(batch_norm, steps)
        our(), their()
        rows = []
        for _ in range(rounds):
            fast, own = rate(), our()
            rows.append((own, their() / own, operations / own / fast))
        own, tight, share = medians(rows)
        name = "with BatchNorm" if batch_norm else "without BatchNorm"
        print(f"| {name} | {own * 1e3:.2f} | {operations / own / 1e12:.2f} | {tight:.2f} | {share:.0%} |", flush=True)

    count = batches * BATCH
    images, labels = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8), torch.zeros(count, dtype=torch.int64)
    data = Cifar10(images, labels, images, labels, count, True, BATCH)
    students = Trainer(initialize_students((3, 32, 32), [500, 750, 1000, 1250, 10], seeds=[0]))
    loader = DataLoader(Pictures(images), BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    deque(loader, maxlen=0)  # the workers' start does not count
    pairs = [(x, torch.zeros(1, 10, x.shape[2])) for x in data.blocks([0], 0)]
    rows = []
    for number in range(rounds):
        own = seconds(lambda epoch=number: deque(data.blocks([0], epoch), maxlen=0)) / count
        training = seconds(lambda: [students.step(x, y, RATE) for x, y in pairs]) / count
        rows.append((own, seconds(lambda: deque(loader, maxlen=0)) / count / own, own / training))
    own, usual_pipeline, share = medians(rows)
    print(f"\nCIFAR-10 images: {own * 1e6:.1f} µs each; (c) / ours {usual_pipeline:.1f}; ", end="")
    print(f"{share:.1%} of the time of the steps on them (fully connected, 50-75-100-125 x10)")


if __name__ == "__main__":
    main()
