"""Kind ``student-training``: train students to a teacher's output, measure their overlap with it every epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from luckmatters.config.schema import Run
from luckmatters.science.data import Gaus
from luckmatters.science.networks import FullyConnected, initialize_students
from luckmatters.science.overlap import measure
from luckmatters.science.training import Trainer, learning_rate


@dataclass
class Progress:
    """All that a run has produced up to an epoch: enough to go on from, as named tensors.

    Keys: ``network/*`` (the current parameters), ``snapshot/<epoch>/*``, and ``history/*`` with a leading axis of
    epochs 0 … epoch: loss, finite (S,), and for each layer l best/l, second/l, winner/l (S, n°), rank/l (S, n°, n),
    dead_teachers/l, dead_students/l (S,).
    """

    epoch: int
    tensors: dict[str, Tensor]

    def network(self) -> dict[str, Tensor]:
        return _under(self.tensors, "network")

    def history(self) -> dict[str, Tensor]:
        return _under(self.tensors, "history")


def data_source(run: Run, *, device: str = "cpu") -> Gaus:
    """The inputs that a run trains and is evaluated on."""
    data = run.settings.data
    return Gaus(
        run.teacher.inputs, data.std, data.samples_per_epoch, data.infinite, run.settings.training.batch, device
    )


def select_teachers(run: Run, teachers: FullyConnected, seeds: Sequence[int]) -> FullyConnected:
    """The one teacher of all students (S = 1), or each student's own (S = number of seeds)."""
    chosen = run.settings.teacher.seed
    return teachers.select(seeds if chosen == "own" else [chosen])


def train(
    run: Run,
    teachers: FullyConnected,
    seeds: Sequence[int],
    *,
    device: str = "cpu",
    resume: Progress | None = None,
) -> Iterator[Progress]:
    """Yield the state of training after every epoch, the initial one (epoch 0) first.

    teachers: all teachers of the run's teacher file. resume: a state yielded earlier; training goes on after it and
    yields what the undisturbed run would have yielded. A seed that diverges goes on as NaN beside the others.
    """
    settings = run.settings
    data, teachers = data_source(run, device=device), select_teachers(run, teachers, seeds)
    x_eval = data.evaluation_set(seeds, settings.data.evaluation_samples)
    teacher_eval = teachers.activations(x_eval)

    if resume is None:
        widths = [settings.student.multiplier * width for width in run.teacher.widths]
        students = initialize_students(
            run.teacher.inputs,
            [*widths, run.teacher.outputs],
            seeds=seeds,
            batch_norm=settings.student.batch_norm,
            device=device,
        )
        state = _record(Progress(-1, {}), students, teacher_eval, x_eval, snapshot=True)
        yield state
    else:
        state = resume
        students = FullyConnected.from_state(state.network(), device=device)

    trainer, schedule = Trainer(students), [(step.epoch, step.rate) for step in settings.training.learning_rate]
    for epoch in range(state.epoch, settings.training.epochs):
        train_epoch(trainer, teachers, data, seeds, epoch, learning_rate(schedule, epoch))
        finished = epoch + 1
        keep = finished in settings.training.snapshots or finished == settings.training.epochs
        state = _record(state, students, teacher_eval, x_eval, snapshot=keep)
        yield state


def train_epoch(
    trainer: Trainer, teachers: FullyConnected, data: Gaus, seeds: Sequence[int], epoch: int, rate: float
) -> None:
    """Take a step on every batch of an epoch; the teachers' outputs are the labels."""
    for block in data.blocks(seeds, epoch):
        for x in block.split(
            data.batch, dim=2
        ):  # labels of one batch at a time: those of a block would leave the cache
            trainer.step(x, teachers(x), rate)


def _record(
    before: Progress, students: FullyConnected, teacher_eval: list[Tensor], x_eval: Tensor, *, snapshot: bool
) -> Progress:
    """Measure the students and append to the history; the tensors of earlier epochs are shared, not copied."""
    epoch = before.epoch + 1
    student_eval = students.activations(x_eval)
    now = {"loss": (student_eval[-1] - teacher_eval[-1]).square().mean((1, 2)), "finite": students.finite()}
    for layer, (teacher, student) in enumerate(zip(teacher_eval[:-1], student_eval[:-1], strict=True)):
        now |= {f"{quantity}/{layer}": value for quantity, value in vars(measure(teacher, student)).items()}
    past = before.history()
    tensors = {key: value for key, value in before.tensors.items() if key.startswith("snapshot/")}
    for name, value in now.items():
        value = value.cpu()[None]
        tensors[f"history/{name}"] = torch.cat([past[name], value]) if name in past else value
    network = students.state()
    tensors |= {f"network/{name}": value for name, value in network.items()}
    if snapshot:
        tensors |= {f"snapshot/{epoch}/{name}": value for name, value in network.items()}
    return Progress(epoch, tensors)


@dataclass(frozen=True)
class Result:
    """What a finished job leaves: a tidy table and named tensors."""

    table: pd.DataFrame
    tensors: dict[str, Tensor]


def finish(run: Run, seeds: Sequence[int], state: Progress) -> Result:
    """The table and tensors of a finished run (or of one that was cut short, as if it had ended there).

    table: columns seed, epoch, layer (<NA> for the whole network), quantity, value. Quantities: loss; diverged (0/1);
    correlation (ρ̄: mean over teacher nodes of the best ρ, dead ones as 0), second_correlation, mean_rank and
    median_rank (in units of the layer's students, of the student that is best at the end; dead teacher nodes left
    out), dead_teachers, dead_students. A diverged seed's values are NaN from then on.
    tensors: the snapshots, and of each layer the winning student of each teacher node (S, n°), its rank by epoch
    (T + 1, S, n°), and the best ρ by epoch (T + 1, S, n°).
    """
    history = state.history()
    diverged = (~history["finite"] | ~history["loss"].isfinite()).cummax(0).values  # (T + 1, S)
    frames = [
        _frame(seeds, None, "loss", history["loss"], diverged),
        _frame(seeds, None, "diverged", diverged.double(), torch.zeros_like(diverged)),
    ]
    tensors = {name: value for name, value in state.tensors.items() if name.startswith("snapshot/")}
    for layer in range(sum(name.startswith("best/") for name in history)):
        best, winner, rank = (history[f"{name}/{layer}"] for name in ("best", "winner", "rank"))
        students = rank.shape[-1]
        last = winner[-1].long()  # (S, n°): the student that is best at the end
        index = last.expand(len(rank), -1, -1)[..., None]
        winner_rank = rank.gather(3, index)[..., 0].double() / students  # (T + 1, S, n°)
        ranked = (best[-1] != 0) & ~diverged[-1, :, None]  # where "the best at the end" means something, (S, n°)
        winner_rank = winner_rank.where(ranked, torch.nan)
        layers = {
            "correlation": best.double().mean(2),
            "second_correlation": history[f"second/{layer}"].double().mean(2),
            "mean_rank": winner_rank.nanmean(2),
            "median_rank": winner_rank.nanquantile(0.5, dim=2),
            "dead_teachers": history[f"dead_teachers/{layer}"].double(),
            "dead_students": history[f"dead_students/{layer}"].double(),
        }
        frames += [_frame(seeds, layer, quantity, value, diverged) for quantity, value in layers.items()]
        tensors |= {f"winner/{layer}": last, f"winner_rank/{layer}": winner_rank.float(), f"best/{layer}": best}
    return Result(pd.concat(frames, ignore_index=True), {k: v.contiguous() for k, v in tensors.items()})


def _frame(seeds: Sequence[int], layer: int | None, quantity: str, value: Tensor, diverged: Tensor) -> pd.DataFrame:
    """Tidy rows of a quantity (T + 1, S), NaN where the seed has diverged."""
    epochs = len(value)
    value = value.double().masked_fill(diverged, torch.nan)
    return pd.DataFrame(
        {
            "seed": [seed for _ in range(epochs) for seed in seeds],
            "epoch": [epoch for epoch in range(epochs) for _ in seeds],
            "layer": pd.array([layer] * value.numel(), dtype="Int64"),
            "quantity": quantity,
            "value": value.flatten().numpy(),
        }
    )


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{prefix}/"): value for key, value in tensors.items() if key.startswith(f"{prefix}/")}


def snapshot(tensors: dict[str, Tensor], epoch: int) -> FullyConnected:
    """The students at a saved epoch of a finished run. Raises KeyError if that epoch was not saved."""
    state = _under(tensors, f"snapshot/{epoch}")
    if not state:
        raise KeyError(epoch)
    return FullyConnected.from_state(state)
