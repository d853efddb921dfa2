"""What the scripts in this folder share: their options, and the images that some of them read."""

import argparse
import os

import torch

from luckmatters import cifar10
from luckmatters.cifar10 import Cifar10Arrays


def parser(description: str) -> argparse.ArgumentParser:
    """A script's options: its own are to be added to ``--smallest``, which all scripts have."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--smallest", action="store_true", help="a trial of the script in seconds; its numbers are void"
    )
    return options


def begin(description: str) -> argparse.Namespace:
    """Read the options of a script that measures speed, set the threads, say so; threads, rounds, smallest."""
    options = parser(description)
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--rounds", type=int, default=7)
    chosen = options.parse_args()
    if chosen.smallest:
        chosen.rounds = 1
    torch.set_num_threads(chosen.threads)
    print(f"{chosen.threads} threads, {chosen.rounds} rounds, torch {torch.__version__}\n")
    return chosen


def images(*, smallest: bool, limit: int | None = None) -> Cifar10Arrays:
    """CIFAR-10 from where LUCKMATTERS_CIFAR10 says, or a few synthetic images; limit: of training images."""
    if smallest:
        return cifar10.read("synthetic", None, limit=200)
    return cifar10.read(*cifar10.locate("auto", None, os.environ), limit=limit)
