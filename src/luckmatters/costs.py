"""Floating-point operations of experiments."""

from luckmatters.kinds import verb
from luckmatters.kinds.lottery.rounds import sizes
from luckmatters.learning.shapes import student_widths
from luckmatters.science.shapes import scaled, training_operations
from luckmatters.settings.experiment import Run


def operations(run: Run) -> float:
    """Floating-point operations to train all seeds of a run, with all branches and rounds of a lottery run."""
    settings = run.trained.settings
    samples = settings.training.epochs * settings.data.samples_per_epoch * len(run.seeds)
    return samples * sum(training_operations(run.teacher.shape, widths, run.teacher.kernel) for widths in _trained(run))


def _trained(run: Run) -> list[list[int]]:
    """Widths of every network that a seed of a run trains.

    Pruned weights count, since they are computed as zeros. Where nodes of all layers are pruned together, each layer is
    taken to keep the same share.
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
