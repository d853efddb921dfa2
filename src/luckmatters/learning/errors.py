"""How well students fit a finite training set and generalize: losses as shares of the best constant output's loss.

A share compares teachers whose outputs are of different size. At 1 a student has learned nothing, at 0 everything.
"""

from collections.abc import Sequence

from torch import Tensor

from luckmatters.learning.data import Data
from luckmatters.learning.evaluation import Evaluation
from luckmatters.learning.students import training_set
from luckmatters.science.losses import constant_loss, mean_loss, outputs
from luckmatters.science.moments import with_statistics_of
from luckmatters.science.networks import Networks


def errors(
    evaluation: Evaluation, students: Networks, data: Data, seeds: Sequence[int], *, first: bool = False
) -> dict[str, Tensor]:
    """The share of the loss that is left, each (S,).

    - training_error: on the finite training set, against the targets that students are given, whatever is done to them;
    - test_error: on the evaluation samples, against clean targets.

    first: whether students are untrained; BatchNorm then uses the statistics of the samples.
    """
    sides = {
        "training_error": training_set(evaluation.teachers, data, seeds, on_labels=evaluation.on_labels),
        "test_error": (evaluation.x, evaluation.targets()),
    }
    shares = {}
    for name, (x, targets) in sides.items():
        networks = with_statistics_of(students, x) if first else students
        shares[name] = mean_loss(outputs(networks, x), targets) / constant_loss(targets)
    return shares
