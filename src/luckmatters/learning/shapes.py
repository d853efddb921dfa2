"""Shapes of a run's networks. Imports no torch."""

from luckmatters.settings.experiment import Run


def student_widths(run: Run) -> list[int]:
    """Nodes of the students' layers, the output layer last."""
    multiplier = run.trained.settings.student.multiplier
    return [*(multiplier * width for width in run.teacher.widths), run.teacher.outputs]
