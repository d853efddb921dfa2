"""What the scripts in this folder share: their options, their images and the teachers whose settings they take."""

import argparse
import os
from pathlib import Path

import torch

from luckmatters import cifar10
from luckmatters.cifar10 import Cifar10Arrays
from luckmatters.config import Project
from luckmatters.science.images import Cifar10

ROOT = Path(__file__).parents[1]


def parser(description: str) -> argparse.ArgumentParser:
    """A script's options: its own are to be added to ``--smallest``, which all scripts have."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--smallest", action="store_true", help="a trial of the script in seconds; its numbers are void"
    )
    return options


def teachers(scale: str = "paper") -> dict:
    """The settings of all teachers, by name."""
    return Project(ROOT, scale=scale).teachers


def images(*, smallest: bool, limit: int | None = None) -> Cifar10Arrays:
    """CIFAR-10 from where LUCKMATTERS_CIFAR10 says, or a few synthetic images; limit: of training images."""
    if smallest:
        return cifar10.read("synthetic", None, limit=200)
    return cifar10.read(*cifar10.locate("auto", None, os.environ), limit=limit)


def data(read: Cifar10Arrays, *, samples: int, batch: int) -> Cifar10:
    """These images for training, with crops and flips."""
    arrays = (read.train_images, read.train_labels, read.test_images, read.test_labels)
    return Cifar10(*map(torch.from_numpy, arrays), samples=samples, augment=True, batch=batch)
