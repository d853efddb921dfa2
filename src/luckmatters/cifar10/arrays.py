"""What all sources of CIFAR-10 share: the arrays, and the names of classes, parts and keys."""

from dataclasses import dataclass

import numpy as np

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PARTS = ("train", "test")
SIZE = 32  # pixels, both ways
VARIABLE = "LUCKMATTERS_CIFAR10"
KEY = "config/config.yaml: cifar10"

Part = tuple[np.ndarray, np.ndarray]  # images (N, 3, 32, 32) uint8 and labels (N,) int64
Kept = tuple[int | None, int | None]  # training and test images to keep of each class; None: all


@dataclass(frozen=True)
class Cifar10Arrays:
    """Training and test images (N, 3, 32, 32), uint8, red, green, blue, and labels (N,), int64, positions in CLASSES.

    description: source and number of images in one line, for captions.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    description: str


def image_counts(train: Part, test: Part) -> str:
    """The numbers of images, for descriptions."""
    return f"{len(train[1]):,} + {len(test[1]):,} images"
