"""Synthetic images of a few classes, which stand in where there are no real images."""

import numpy as np


def gratings(count: int, classes: int, size: int, *, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images (count · classes, 3, size, size), uint8, and their labels (count · classes,), int64.

    ``count`` images of each class, the classes in turn: a smaller count gives the first images of a larger. Each class
    has a grating of another direction, frequency and colour. Phase and contrast (down to none) vary, colours vary more
    within classes than between, and pixels are noisy. So some images cannot be told apart.
    """
    label = np.arange(classes).reshape(classes, 1, 1)
    y, x = np.mgrid[:size, :size] / size
    angle, frequency = np.pi * label / classes, 3 + 2 * (label % 3)  # cycles an image
    along = 2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle))  # (classes, size, size)
    hue = 0.5 + 0.1 * np.cos(2 * np.pi * (label.reshape(classes, 1) / classes + np.arange(3) / 3))  # (classes, 3)
    images = np.empty((count, classes, 3, size, size), dtype=np.uint8)
    for image in images:
        contrast, phase = (generator.uniform(0, most, (classes, 1, 1)) for most in (0.3, 2 * np.pi))
        wave = contrast * np.sin(along + phase)
        colour = hue + 0.15 * generator.standard_normal((classes, 3))
        noise = 0.2 * generator.standard_normal((classes, 3, size, size))
        image[:] = np.rint(255 * np.clip(colour[:, :, None, None] + wave[:, None] + noise, 0, 1))
    return images.reshape(-1, 3, size, size), np.tile(np.arange(classes, dtype=np.int64), count)
