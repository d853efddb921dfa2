"""Tables of students' curves by epoch."""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from luckmatters.learning.evaluation import OF_LAYERS
from luckmatters.science.overlap import over_live
from luckmatters.tables.history import Result, TrainingState, diverged_by, tidy

WHOLE_NETWORK = ("loss", "training_loss", "accuracy", "teacher_accuracy", "training_error", "test_error")


def student_curves(seeds: Sequence[int], state: TrainingState, *, diverged: Tensor | None = None) -> Result:
    """The table and tensors of a run's students up to the last epoch of a training state.

    diverged: whether each seed has diverged by each epoch, (T + 1, S), bool; None: as the history says.

    The table has columns seed, epoch, layer (<NA> for the whole network), quantity, value. A diverged seed's values are
    NaN from the epoch of divergence on. Quantities of the whole network are

    - loss: on the evaluation set; training_loss: the mean over the epoch's samples before the step on each sample, NaN
      at epoch 0; diverged: 0 or 1;
    - accuracy, teacher_accuracy: where samples have labels;
    - training_error, test_error: where the training set is finite by settings, see
      :func:`luckmatters.learning.errors.errors`.

    Quantities of a layer are means over live teacher nodes, except in the last item:

    - correlation: ρ̄, the best ρ; second_correlation: the second best ρ; mean_rank, median_rank: the rank of the student
      node that is best at the end, over the number of student nodes;
    - floor: the best ρ with another node of the same teacher layer (epoch 0 alone); control: ρ̄ with an unrelated
      teacher;
    - weight_cosine: see :func:`luckmatters.science.alignment.fan_in_cosine`; control_weight_cosine: the cosine with the
      unrelated teacher;
    - correlation_192, mean_rank_192, floor_192, control_192: as the authors measure, on the first 192 samples, with
      dead teacher nodes as 0, and with BatchNorm's running statistics even before training (other quantities then use
      statistics of the evaluation set);
    - keeps_teacher, keeps_teacher_chance: see :func:`keeps`; dead_teachers, dead_students: the number of dead nodes.

    The tensors are the snapshots and for each layer the winner, the best student node of each teacher node at the end,
    (S, n°), the winner's rank by epoch, (T + 1, S, n°), and the best ρ by epoch, (T + 1, S, n°).
    """
    history = state.history()
    diverged = diverged_by(history) if diverged is None else diverged
    frames = whole_network(seeds, history, diverged)
    tensors = {name: value for name, value in state.tensors.items() if name.startswith("snapshot/")}
    for layer in range(sum(name.startswith("best/") for name in history)):
        measured = {name.split("/")[0]: value for name, value in history.items() if name.endswith(f"/{layer}")}
        live, last = measured["live"], measured["winner"][-1].long()
        counted = live[-1] & ~diverged[-1, :, None]  # where "the best at the end" means something, (S, n°)
        ranks = winner_rank(measured["rank"], last).where(counted, torch.nan)
        published = winner_rank(measured["rank_192"], measured["winner_192"][-1].long())
        layers = {
            "correlation": over_live(measured["best"], live),
            "second_correlation": over_live(measured["second"], live),
            "mean_rank": ranks.nanmean(2),
            "median_rank": ranks.nanquantile(0.5, dim=2),
            "mean_rank_192": published.mean(2).masked_fill(diverged[-1], torch.nan),
            **keeps(measured["closest"], live.shape[2]),
            **{name: measured[name] for name in OF_LAYERS},
            "dead_teachers": (~live).sum(2),
            "dead_students": measured["dead_students"],
        }
        frames += [tidy(seeds, layer, quantity, value, diverged) for quantity, value in layers.items()]
        tensors |= {f"winner/{layer}": last, f"winner_rank/{layer}": ranks.float(), f"best/{layer}": measured["best"]}
    return Result(pd.concat(frames, ignore_index=True), {k: v.contiguous() for k, v in tensors.items()})


def whole_network(seeds: Sequence[int], history: dict[str, Tensor], diverged: Tensor) -> list[pd.DataFrame]:
    """Tables of the quantities of whole networks, one for each quantity.

    history: tensors (T + 1, S) by name; diverged: (T + 1, S), bool.
    """
    return [
        *(tidy(seeds, None, name, history[name], diverged) for name in WHOLE_NETWORK if name in history),
        tidy(seeds, None, "diverged", diverged.double(), torch.zeros_like(diverged)),
    ]


def winner_rank(rank: Tensor, winner: Tensor) -> Tensor:
    """The share of student nodes that are ahead of given student nodes at each epoch, (T, S, n°).

    rank: of each student node, (T, S, n°, n); winner: the given student node of each teacher node, (S, n°).
    """
    index = winner.expand(len(rank), -1, -1)[..., None]
    return rank.gather(3, index)[..., 0].double() / rank.shape[3]


def keeps(closest: Tensor, nodes: int) -> dict[str, Tensor]:
    """The share of student nodes that keep their first closest teacher node, and the share expected by chance.

    closest: the closest teacher node of each student node, (T, S, n), or −1 for a dead student node, which does not
    count; nodes: the number of teacher nodes.
    Returns keeps_teacher and keeps_teacher_chance, both (T, S). The latter is the share if first and present teacher
    nodes were independent: the sum over teacher nodes of the first share of students times the present share.
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
