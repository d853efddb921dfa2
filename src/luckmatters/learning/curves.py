"""Curves of students by epoch, as tables."""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from luckmatters.learning.evaluation import OF_LAYERS
from luckmatters.science.overlap import over_live
from luckmatters.tables.history import Result, TrainingState, diverged_by, tidy

WHOLE_NETWORK = ("loss", "training_loss", "accuracy", "teacher_accuracy")


def student_curves(seeds: Sequence[int], state: TrainingState, *, diverged: Tensor | None = None) -> Result:
    """The table and tensors of a finished run (or of one that was cut short, as if it had ended there).

    table: columns seed, epoch, layer (<NA> for the whole network), quantity, value; a diverged seed's values are NaN
    from then on (diverged: which had by each epoch, (T + 1, S), if that is known better than by what was recorded). Of
    the whole network: loss (on the evaluation set), training_loss (the mean over the epoch's samples
    before the step on each; NaN at epoch 0), diverged (0/1), where samples have labels accuracy and teacher_accuracy.
    Of a layer, means over teacher nodes that are not dead:

    - correlation: ρ̄, the best ρ; second_correlation: the second best; mean_rank, median_rank: of the student that is
      best at the end, in units of the layer's students;
    - floor: the best ρ with another node of the teacher's own layer (epoch 0 alone); control: ρ̄ with an unrelated
      teacher;
    - weight_cosine, control_weight_cosine: see :func:`luckmatters.science.alignment.fan_in_cosine`; the same with the
      unrelated teacher;
    - correlation_192, mean_rank_192, floor_192, control_192: as the authors measure: on the first 192 samples, with
      BatchNorm's running statistics even before training, dead teacher nodes as 0 (the others are normalized by
      statistics of the evaluation set then).

    Besides keeps_teacher and keeps_teacher_chance (see :func:`keeps`), dead_teachers, dead_students.
    tensors: the snapshots, and of each layer the winning student of each teacher node (S, n°), its rank by epoch
    (T + 1, S, n°), and the best ρ by epoch (T + 1, S, n°).
    """
    history = state.history()
    diverged = diverged_by(history) if diverged is None else diverged
    frames = whole_network(seeds, history, diverged)
    tensors = {name: value for name, value in state.tensors.items() if name.startswith("snapshot/")}
    for layer in range(sum(name.startswith("best/") for name in history)):
        its = {name.split("/")[0]: value for name, value in history.items() if name.endswith(f"/{layer}")}
        live, last = its["live"], its["winner"][-1].long()
        counted = live[-1] & ~diverged[-1, :, None]  # where "the best at the end" means something, (S, n°)
        ranks = winner_rank(its["rank"], last).where(counted, torch.nan)
        published = winner_rank(its["rank_192"], its["winner_192"][-1].long())
        layers = {
            "correlation": over_live(its["best"], live),
            "second_correlation": over_live(its["second"], live),
            "mean_rank": ranks.nanmean(2),
            "median_rank": ranks.nanquantile(0.5, dim=2),
            "mean_rank_192": published.mean(2).masked_fill(diverged[-1], torch.nan),
            **keeps(its["closest"], live.shape[2]),
            **{name: its[name] for name in OF_LAYERS},
            "dead_teachers": (~live).sum(2),
            "dead_students": its["dead_students"],
        }
        frames += [tidy(seeds, layer, quantity, value, diverged) for quantity, value in layers.items()]
        tensors |= {f"winner/{layer}": last, f"winner_rank/{layer}": ranks.float(), f"best/{layer}": its["best"]}
    return Result(pd.concat(frames, ignore_index=True), {k: v.contiguous() for k, v in tensors.items()})


def whole_network(seeds: Sequence[int], history: dict[str, Tensor], diverged: Tensor) -> list[pd.DataFrame]:
    """Rows of what is known of networks as a whole."""
    return [
        *(tidy(seeds, None, name, history[name], diverged) for name in WHOLE_NETWORK if name in history),
        tidy(seeds, None, "diverged", diverged.double(), torch.zeros_like(diverged)),
    ]


def winner_rank(rank: Tensor, winner: Tensor) -> Tensor:
    """Which share of the students was ahead of the given one, (T, S, n°), from ranks (T, S, n°, n) and (S, n°)."""
    index = winner.expand(len(rank), -1, -1)[..., None]
    return rank.gather(3, index)[..., 0].double() / rank.shape[3]


def keeps(closest: Tensor, nodes: int) -> dict[str, Tensor]:
    """How many students are closest to the teacher node that they were closest to at first.

    closest: (T, S, n), the teacher node, or −1 where the student is dead, which does not count; nodes: of the teacher.
    keeps_teacher: the share of students that are; keeps_teacher_chance: what it would be if the two nodes had nothing
    to do with each other, the sum over nodes of the product of their shares of students; both (T, S).
    """
    first = closest[:1].expand_as(closest)
    counts = (closest >= 0) & (first >= 0)

    def shares(of: Tensor) -> Tensor:
        numbers = torch.zeros(*of.shape[:2], nodes, dtype=torch.float64)
        return numbers.scatter_add_(2, of.long().clamp(min=0), counts.double()) / counts.sum(2, keepdim=True)

    return {
        "keeps_teacher": ((closest == first) & counts).sum(2) / counts.sum(2),
        "keeps_teacher_chance": (shares(first) * shares(closest)).sum(2),
    }
