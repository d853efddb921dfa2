"""The shapes of a run's networks; imports no torch."""

from luckmatters.settings.experiment import Run


def student_widths(run: Run) -> list[int]:
    """The number of nodes of each student layer, the output layer last."""
    student = run.trained.settings.student
    hidden = student.widths or [student.multiplier * width for width in run.teacher.widths]
    return [*hidden, run.teacher.outputs]
