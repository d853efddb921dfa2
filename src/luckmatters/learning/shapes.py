"""The shapes of a run's networks, and where students start; imports no torch."""

from luckmatters.settings.experiment import Run


def student_widths(run: Run) -> list[int]:
    """The number of nodes of each student layer, the output layer last."""
    student = run.trained.settings.student
    hidden = student.widths or [student.multiplier * width for width in run.teacher.widths]
    return [*hidden, run.teacher.outputs]


def start(run: Run, seed: int) -> int:
    """The seed whose initial weights the student of a seed has."""
    starts = run.trained.settings.student.starts
    return seed % starts if starts else seed
