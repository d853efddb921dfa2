"""What the scripts in this folder share: their options."""

import argparse

import torch


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
