"""What a mask over weights costs in training, and what leaving nodes out saves.

    python benchmarks/speed_masked.py [--rounds R]

Steps of our trainer on students of the small teacher, m = 10, 4 and 8 seeds, one thread, samples and labels given:
without a mask, with one that keeps a tenth, and narrowed to the teacher's own widths. Ratios are medians of ratios
within a round, since machines are noisy.
"""

import statistics
import time

import torch
from _common import parser

from luckmatters.science.networks import initialize_students
from luckmatters.science.pruning import Mask, apply, keep_by_layer
from luckmatters.science.training import Trainer

INPUTS, WIDTHS, SHARE, BATCH, STEPS = 20, [100, 150, 200, 250, 100], 10, 64, 100


def milliseconds(trainer: Trainer, x: torch.Tensor, y: torch.Tensor, steps: int) -> float:
    """A step of all seeds."""
    start = time.perf_counter()
    for _ in range(steps):
        trainer.step(x, y, 0.01)
    return (time.perf_counter() - start) / steps * 1e3


def trainers(seeds: int) -> dict[str, Trainer]:
    """Unmasked, masked and narrowed."""
    networks, found = initialize_students((INPUTS,), WIDTHS, seeds=range(seeds)), {}
    for nodes in (True, False):
        scores = [torch.rand_like(layer) for layer in Mask.everything(networks, nodes=nodes).layers]
        mask = keep_by_layer(scores, [layer[0].numel() // SHARE for layer in scores])
        found["narrowed" if nodes else "masked"] = Trainer(apply(networks, mask), mask=None if nodes else mask)
    return {"unmasked": Trainer(networks), **found}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=9)
    given = options.parse_args()
    count, steps = (1, 2) if given.smallest else (given.rounds, STEPS)
    torch.set_num_threads(1)
    for seeds in (4, 8):
        x, y = torch.randn(seeds, INPUTS, BATCH), torch.randn(seeds, WIDTHS[-1], BATCH)
        kinds = trainers(seeds)
        rounds = [{name: milliseconds(one, x, y, steps) for name, one in kinds.items()} for _ in range(count + 1)][1:]
        plain = statistics.median(one["unmasked"] for one in rounds)
        ratios = {name: statistics.median(one[name] / one["unmasked"] for one in rounds) for name in kinds}
        print(
            f"{seeds} seeds: unmasked {plain / seeds:.3f} ms a step and seed; "
            f"masked {ratios['masked']:.2f} times, narrowed {ratios['narrowed']:.3f} times as long"
        )


if __name__ == "__main__":
    main()
