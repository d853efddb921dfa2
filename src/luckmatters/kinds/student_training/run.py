"""Kind ``student-training``: train students of a teacher, and measure the overlap of both every epoch."""

from collections.abc import Iterator, Sequence

from luckmatters.learning.curves import student_curves
from luckmatters.learning.data import Data, on_labels
from luckmatters.learning.evaluation import Evaluation, evaluate
from luckmatters.learning.students import initial_students, rate, train_epoch, trainer_options
from luckmatters.science.networks import Networks
from luckmatters.science.training import Trainer
from luckmatters.settings.experiment import Run
from luckmatters.tables.history import Result, TrainingState


def train(
    run: Run,
    teachers: Networks,
    data: Data,
    seeds: Sequence[int],
    *,
    device: str = "cpu",
    resume: TrainingState | None = None,
) -> Iterator[TrainingState]:
    """Yield the state of training after every epoch, the initial state (epoch 0) first.

    teachers: all teachers of the run's teacher file. data: the samples that students are trained on.
    resume: a state yielded earlier; what follows is what the undisturbed run would have yielded.
    A seed that diverges goes on as NaN beside the others.
    """
    settings, evaluation = run.settings, Evaluation.of(run, teachers, data, seeds)
    if resume is None:
        trainer = Trainer(initial_students(run, seeds, device), **trainer_options(settings))
        state = TrainingState.none().record(trainer, evaluate(evaluation, trainer, first=True), snapshot=True)
        yield state
    else:
        state = resume
        trainer = Trainer.from_state(state.network(), device=device, **trainer_options(settings))

    for epoch in range(state.epoch, settings.training.epochs):
        train_epoch(
            trainer, evaluation.teachers, data, seeds, epoch, rate(settings, epoch), on_labels=on_labels(settings)
        )
        finished = epoch + 1
        keep = finished in settings.training.snapshots or finished == settings.training.epochs
        state = state.record(trainer, evaluate(evaluation, trainer), snapshot=keep)
        yield state


def last(run: Run) -> int:
    """The last epoch."""
    return run.settings.training.epochs


def finish(run: Run, seeds: Sequence[int], state: TrainingState) -> Result:
    """The table and tensors of a finished run: see :func:`luckmatters.learning.curves.student_curves`."""
    return student_curves(seeds, state)
