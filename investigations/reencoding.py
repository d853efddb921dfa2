"""What JPEG costs a teacher in accuracy: its images encoded again, and once more, its settings as at the paper scale.

    LUCKMATTERS_CIFAR10=… python investigations/reencoding.py cifar-fc

Training and test images are encoded alike, at quality 75, with half as many pixels to a side for color, by blocks that
lie elsewhere each time (by the same ones hardly anything would change). 0 times is the images as they are. With the
original images, once is what such a copy costs; with a copy, what a second loss of the kind costs. Networks of a row
differ in their seeds; all rows have the same ones. Of one core: 25 minutes for cifar-fc; for cifar-conv 45 minutes a
row with --networks 2 --epochs 8, and two and a half days as it is.

Behind docs/notes.md: "If accuracy fell by as much for the same squared error in the first encoding, the ConvNet lost
2.0 to 2.4 of the 2.7 points that it is short of." Output: reencoding.txt.
"""

import io
import time
from dataclasses import replace

import numpy as np
import torch
from _shared import data, images, parser, teachers
from PIL import Image

from luckmatters.jobs.device import keep_freed_memory
from luckmatters.learning.teachers import train
from luckmatters.settings.teachers import Teacher

QUALITY, FRAME = 75, 48  # pixels to a side, three of the blocks that share their color
SHIFTS = ((4, 4), (2, 6), (6, 2))  # where an image lies in its frame, the first time, the second, …


def encoded(pixels: np.ndarray, top: int, left: int) -> np.ndarray:
    """Pixels (N, 3, H, W), uint8, as they are after JPEG, mirrored beyond their edges up to the frame."""
    height, width = pixels.shape[2:]
    around = ((top, FRAME - height - top), (left, FRAME - width - left), (0, 0))
    found = np.empty_like(pixels)
    for one, out in zip(pixels.transpose(0, 2, 3, 1), found, strict=True):
        file = io.BytesIO()
        Image.fromarray(np.pad(one, around, mode="symmetric")).save(file, "JPEG", quality=QUALITY)
        out[:] = np.asarray(Image.open(file))[top : top + height, left : left + width].transpose(2, 0, 1)
    return found


def shortened(teacher: Teacher, networks: int, epochs: int | None, samples: int | None = None) -> Teacher:
    """The teacher with other numbers of networks, of epochs (if its rates follow from their number) and of samples."""
    training, served = teacher.pretraining.training, teacher.pretraining.data
    if epochs:
        training = training.model_copy(update={"epochs": epochs})
    if samples:
        served = served.model_copy(update={"samples_per_epoch": samples, "evaluation_samples": samples // 5})
    pretraining = teacher.pretraining.model_copy(update={"training": training, "data": served})
    return teacher.model_copy(update={"count": networks, "pretraining": pretraining})


def main() -> None:
    options = parser(__doc__)
    names = [name for name, one in teachers().items() if one.published_accuracy]
    options.add_argument("teacher", choices=names, nargs="?", default="cifar-fc")
    options.add_argument("--times", type=int, nargs="+", choices=range(len(SHIFTS) + 1), default=[0, 1, 2, 3])
    options.add_argument("--networks", type=int, default=4, help="default: 4")
    options.add_argument("--epochs", type=int, help="for a teacher whose rates are annealed (default: as configured)")
    given = options.parse_args()
    teacher = teachers()[given.teacher]
    if given.epochs and not teacher.pretraining.training.annealing:
        options.error(f"--epochs: the rates of {given.teacher} are listed by epoch")
    if given.smallest:
        given.times, given.networks, given.epochs = [0, 1], 1, 1
    read = images(smallest=given.smallest)
    teacher = shortened(teacher, given.networks, given.epochs, len(read.train_images) if given.smallest else None)
    keep_freed_memory()
    torch.set_num_threads(1)
    print(f"{read.description}; {given.networks} networks, {teacher.pretraining.training.epochs} epochs\n")
    print("| encoded again | PSNR, dB | test accuracy | standard error | seconds |")
    print("| --- | --- | --- | --- | --- |")
    copies = [read]
    for shift in SHIFTS[: max(given.times)]:
        training, test = (encoded(one, *shift) for one in (copies[-1].train_images, copies[-1].test_images))
        copies.append(replace(read, train_images=training, test_images=test))
    for times in given.times:
        began, copy = time.monotonic(), copies[times]
        error = np.square(copy.test_images.astype(np.float32) - read.test_images).mean((1, 2, 3))
        loss = f"{np.median(10 * np.log10(255**2 / error)):.1f}" if times else ""
        samples, batch = teacher.pretraining.data.samples_per_epoch, teacher.pretraining.training.batch
        *_, state = train(teacher, data(copy, samples=samples, batch=batch))
        found = state.history()["accuracy"][-1].double()
        spread = f"{found.std() / given.networks**0.5:.2%}" if given.networks > 1 else ""
        print(f"| {times} | {loss} | {found.mean():.2%} | {spread} | {time.monotonic() - began:.0f} |", flush=True)


if __name__ == "__main__":
    main()
