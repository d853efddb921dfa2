"""How many operations an experiment takes."""

from luckmatters.kinds import verb
from luckmatters.kinds.lottery.rounds import sizes
from luckmatters.learning.shapes import student_widths
from luckmatters.science.shapes import scaled, training_operations
from luckmatters.settings.experiment import Run


def operations(run: Run) -> float:
    """Floating-point operations of training all seeds of a run, all branches and rounds of a lottery run."""
    settings = run.trained.settings
    samples = settings.training.epochs * settings.data.samples_per_epoch * len(run.seeds)
    return samples * sum(training_operations(run.teacher.shape, one, run.teacher.kernel) for one in _trained(run))


def _trained(run: Run) -> list[list[int]]:
    """The widths of every network that a seed of a run trains; pruned weights are computed with, as zeros.

    Where all layers are pruned together, as if each kept the same share.
    """
    if verb(run) == "train":
        return [student_widths(run)]
    pruning, branches = run.settings.pruning, set(run.settings.branches) - {"untrained"}
    *between, last = [
        [*scaled(run.teacher.widths, size), run.teacher.outputs]
        if pruning.granularity == "nodes"
        else student_widths(run)
        for size in sizes(pruning, run.source.settings.student.multiplier)
    ]
    return [*between, *[last] * len(branches)]
