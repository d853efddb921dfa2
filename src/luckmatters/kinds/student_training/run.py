"""Kind ``student-training``: train students of a teacher, and measure the overlap of both every epoch."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from luckmatters.learning.curves import student_curves
from luckmatters.learning.data import Data, on_labels
from luckmatters.learning.errors import errors
from luckmatters.learning.evaluation import Evaluation, evaluate
from luckmatters.learning.students import initial_students, rate, train_epoch, trainer_options
from luckmatters.science.networks import Networks
from luckmatters.science.training import Trainer
from luckmatters.settings.experiment import Run
from luckmatters.tables.files import under
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

    def measured(*, first: bool = False) -> dict[str, Tensor]:
        fit = errors(evaluation, trainer.networks, data, seeds, first=first) if data.finite else {}
        return evaluate(evaluation, trainer, first=first) | fit

    if resume is None:
        trainer = Trainer(initial_students(run, seeds, device), **trainer_options(settings))
        state = TrainingState.none().record(trainer, measured(first=True), snapshot=True)
        state.tensors |= fitted(run, state)
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
        state = state.record(trainer, measured(), snapshot=keep)
        state.tensors |= fitted(run, state)
        yield state


def fitted(run: Run, state: TrainingState) -> dict[str, Tensor]:
    """Each seed's network after the first epoch with a training error no higher than ``run.settings.fitted``.

    Seeds that have not come to that error have the present network. Names: ``fixed/fitted/*``, empty without the
    setting.
    """
    if not run.settings.fitted:
        return {}
    there = fitted_epoch(run, state)
    kept = under(state.tensors, "fixed/fitted")
    earlier = (there >= 0) & (there < state.epoch)
    return {
        f"fixed/fitted/{name}": kept[name].where(earlier.view(-1, *[1] * (now.dim() - 1)), now) if kept else now
        for name, now in state.network().items()
    }


def fitted_epoch(run: Run, state: TrainingState) -> Tensor:
    """The first epoch, 1 or later, with a training error no higher than ``run.settings.fitted``, (S,), or −1."""
    low = state.history()["training_error"][1:] <= run.settings.fitted  # (T, S)
    return (1 + low.int().argmax(0)).where(low.any(0), -1) if len(low) else low.new_full(low.shape[1:], -1, dtype=int)


def last(run: Run) -> int:
    """The last epoch."""
    return run.settings.training.epochs


def finish(run: Run, seeds: Sequence[int], state: TrainingState) -> Result:
    """The table and tensors of a finished run: see :func:`luckmatters.learning.curves.student_curves`.

    With the setting ``fitted`` the tensors hold also ``fitted/*``, see :func:`fitted`, and fitted_epoch, (S,).
    """
    result = student_curves(seeds, state)
    if run.settings.fitted:
        kept = {f"fitted/{name}": value for name, value in under(state.tensors, "fixed/fitted").items()}
        result.tensors.update(kept, fitted_epoch=fitted_epoch(run, state))
    return result
