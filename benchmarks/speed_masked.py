"""What a mask over weights costs in training, and what leaving nodes out saves.

    python benchmarks/speed_masked.py [--threads N] [--rounds R]

Steps of our trainer on students of the small teacher, m = 10, 4 and 8 seeds, by default with one thread, samples and
labels given: without a mask, with one that keeps a tenth, and narrowed to the teacher's own widths. Ratios are medians
of ratios within a round, since machines are noisy.
"""

import torch
from _common import begin, medians, seconds

from luckmatters.science.networks import initialize_students
from luckmatters.science.pruning import Mask, apply, keep_by_layer
from luckmatters.science.training import Trainer

INPUTS, WIDTHS, SHARE, BATCH, STEPS = 20, [100, 150, 200, 250, 100], 10, 64, 100


def milliseconds(trainer: Trainer, x: torch.Tensor, y: torch.Tensor, steps: int) -> float:
    """A step of all seeds."""
    return seconds(lambda: [trainer.step(x, y, 0.01) for _ in range(steps)]) / steps * 1e3


def trainers(seeds: int) -> list[Trainer]:
    """Unmasked, masked and narrowed."""
    networks = initialize_students((INPUTS,), WIDTHS, seeds=range(seeds))
    found = [Trainer(networks)]
    for nodes in (False, True):
        scores = [torch.rand_like(layer) for layer in Mask.everything(networks, nodes=nodes).layers]
        mask = keep_by_layer(scores, [layer[0].numel() // SHARE for layer in scores])
        found.append(Trainer(apply(networks, mask), mask=None if nodes else mask))
    return found


def main() -> None:
    chosen = begin(__doc__, threads=1, rounds=9)
    steps = 2 if chosen.smallest else STEPS
    for seeds in (4, 8):
        x, y = torch.randn(seeds, INPUTS, BATCH), torch.randn(seeds, WIDTHS[-1], BATCH)
        kinds = trainers(seeds)
        rounds = [[milliseconds(one, x, y, steps) for one in kinds] for _ in range(chosen.rounds + 1)][1:]
        plain, masked, narrowed = medians((one, other / one, third / one) for one, other, third in rounds)
        print(
            f"{seeds} seeds: unmasked {plain / seeds:.3f} ms a step and seed; "
            f"masked {masked:.2f} times, narrowed {narrowed:.3f} times as long"
        )


if __name__ == "__main__":
    main()
