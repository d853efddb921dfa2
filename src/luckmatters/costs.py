"""Floating-point operations of experiments, and predicted times."""

from collections.abc import Sequence

from luckmatters.kinds import verb
from luckmatters.kinds.lottery.rounds import sizes
from luckmatters.learning.shapes import student_widths
from luckmatters.science.shapes import scaled, training_operations
from luckmatters.settings.experiment import Run

# Operations a second of training: two cores, measured (docs/performance.md); a data-center card in float32, assumed.
TWO_CORES, CARD = 0.16e12, 20e12
# For predicted times alone: an old core, steps of small networks, and all that comes before and after training.
OPERATIONS_A_SECOND, SECONDS_A_STEP, SECONDS_A_RUN = 4e10, 5e-4, 5.0


def operations(run: Run) -> float:
    """Floating-point operations to train all seeds of a run, with all branches and rounds of a lottery run."""
    settings = run.trained.settings
    samples = settings.training.epochs * settings.data.samples_per_epoch * len(run.seeds)
    return samples * sum(training_operations(run.teacher.shape, widths, run.teacher.kernel) for widths in _trained(run))


def seconds(run: Run, epochs: float) -> float:
    """Predicted seconds of the first epochs of a seed, computed again on one core, the same on every machine."""
    step, one = verb(run), run.model_copy(update={"seeds": run.seeds[:1]})
    settings = run.trained.settings
    if step == "simulate":
        return SECONDS_A_RUN + settings.epochs * settings.steps_per_epoch * SECONDS_A_STEP
    if step in ("observe", "extract"):
        return SECONDS_A_RUN
    source = seconds(run.source, float("inf")) if run.source else SECONDS_A_RUN
    if step == "measure":
        return source + SECONDS_A_RUN
    rounds = run.settings.pruning.rounds if step == "retrain" else 1
    training = run.trained.settings.training
    share = (rounds - 1 + min(1, epochs / training.epochs)) / rounds
    steps = rounds * training.epochs * settings.data.samples_per_epoch / training.batch
    return source + share * (operations(one) / OPERATIONS_A_SECOND + steps * SECONDS_A_STEP)


def _trained(run: Run) -> list[list[int]]:
    """Widths of every network that a seed of a run trains.

    Pruned weights count, since they are computed as zeros. Where nodes of all layers are pruned together, each layer is
    taken to keep the same share.
    """
    if verb(run) == "train":  # layers that learn one by one, in some ways, cost less than all layers at once
        return [student_widths(run)] * len(getattr(run.settings, "ways", ["end-to-end"]))
    pruning, branches = run.settings.pruning, set(run.settings.branches) - {"untrained"}
    *between, last = [
        [*scaled(run.teacher.widths, size), run.teacher.outputs]
        if pruning.granularity == "nodes"
        else student_widths(run)
        for size in sizes(pruning, run.source.settings.student.multiplier)
    ]
    return [*between, *[last] * len(branches)]


def in_words(runs: Sequence[Run]) -> str:
    """The operations of training runs, and estimates of the time on two cores and on a graphics card."""
    total = sum(operations(run) for run in runs if verb(run) in ("train", "retrain"))
    if not total:
        return "time not estimated, since operations of this kind are not counted"
    tera = f"{total / 1e12:,.0f}" if total >= 1e15 else f"{total / 1e12:.3g}"
    return f"{tera} TFLOP; about {_time(total / TWO_CORES)} on two cores, {_time(total / CARD)} on a card"


def _time(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1, seconds / 60):.0f} min"
