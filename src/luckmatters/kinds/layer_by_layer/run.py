"""Kind ``layer-by-layer``: train the same students end to end, and layer by layer from below.

All ways see the same samples, a step on each batch. A layer that learns for itself is a network with one hidden layer:
the frozen layers below give the inputs, and a readout of the layer's own stands on top until the layer is done.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from luckmatters.kinds.layer_by_layer.stages import Stage, Way, stages
from luckmatters.learning.curves import student_curves
from luckmatters.learning.data import Data
from luckmatters.learning.evaluation import Evaluation, evaluate, overlaps
from luckmatters.learning.students import batches, initial_students, rate
from luckmatters.science.networks import Networks, initialize_students
from luckmatters.science.readout import Readout, largest_stable_rate, with_readout
from luckmatters.science.training import Trainer, squared_error
from luckmatters.settings.experiment import Run
from luckmatters.tables.files import under
from luckmatters.tables.history import Result, TrainingState
from luckmatters.tables.rows import joined, rows

SAFETY = 0.5  # share of the largest stable rate that a readout which learns on its own layer is given at most
FITTED = 2  # epochs whose samples the best readout is fitted to: many times as many as the nodes that it reads
LOCAL = "local/"  # before the names of what belongs to a stage alone, in a learner's state


class Learner:
    """Students that are trained in a way: whole networks, of which a stage trains some layers.

    networks: S students. seeds: of the readouts that layers have of their own.
    """

    def __init__(self, way: Way, networks: Networks, seeds: Sequence[int], epochs: int) -> None:
        self.networks, self.seeds = networks, seeds
        self.plan = stages(way, len(networks.weights) - 1, epochs)
        self.from_below = way != "end-to-end"
        self.stage: Stage | None = None

    def enter(self, epoch: int, x: Tensor, rate: float, local: dict[str, Tensor]) -> None:
        """Go to the stage of an epoch.

        x: samples, (S, n_in, N), by which the step length is chosen; rate: the learning rate of the run.
        local: in the middle of a stage, what belongs to it alone, see :meth:`state`; at the begin not read.
        """
        self.stage = stage = next(stage for stage in self.plan if stage.begin <= epoch < stage.end)
        begins, net, device = epoch == stage.begin, self.networks, x.device
        if stage.last == len(net.weights) - 1:
            self.head = Networks([], [], [])
        elif begins:
            self.head = self._new_head(str(device))
        else:
            self.head = Networks.from_state(under(local, "head"), device=str(device))
        learn = slice(stage.first, stage.last + 1)
        part = Networks([*net.weights[learn], *self.head.weights], [*net.biases[learn], *self.head.biases], [])
        self.scale = self._scale(part, self.inputs(x), rate) if begins else local["scale"].to(device)
        self.trainer = Trainer(part, self._loss)

    def _new_head(self, device: str) -> Networks:
        """A readout of the highest layer that learns, initialized as all layers of students are."""
        layer, net = self.stage.last, self.networks
        outputs = net.widths[-1] if self.stage.learns == "outputs" else net.weights[layer].shape[2]
        return initialize_students(
            (net.widths[layer],), [outputs], seeds=self.seeds, purpose=f"{self.stage.learns}-of-layer-{layer}",
            device=device,
        )  # fmt: skip

    def _scale(self, part: Networks, inputs: Tensor, rate: float) -> Tensor:
        """The step length of each seed over the run's learning rate, (S, 1, 1).

        The loss is a mean over outputs: with n of them, n / n° of the rate moves the weights of an output as far as in
        the whole network. From below, a rate above SAFETY of the largest stable one is lowered to that.
        part: what learns; inputs: what its lowest layer reads.
        """
        outputs = part.widths[-1]
        length = inputs.new_full((part.seeds,), outputs / self.networks.widths[-1], dtype=torch.float64)
        if self.from_below:
            features = inputs if len(part.weights) == 1 else next(part.layers(inputs))
            length = length.minimum(SAFETY * largest_stable_rate(features, outputs) / rate)
        return length.to(inputs.dtype)[:, None, None]

    def _loss(self, output: Tensor, target: Tensor, gradient: Tensor, total: Tensor) -> float:
        """The squared error, with gradients that make steps of the chosen length."""
        factor = squared_error(output, target, gradient, total)
        gradient.mul_(self.scale)
        return factor

    def inputs(self, x: Tensor) -> Tensor:
        """What the lowest layer in training reads, (S, n, B), of samples (S, n_in, B)."""
        below = self.stage.first
        return next(islice(self.networks.layers(x), below - 1, None)) if below else x

    def step(self, x: Tensor, target: Tensor, rate: float) -> None:
        """Take a step on a batch: samples (S, n_in, B), the teachers' outputs (S, n_out, B)."""
        inputs = self.inputs(x)
        self.trainer.step(inputs, target if self.stage.learns == "outputs" else inputs, rate)

    def mean_loss(self) -> Tensor:
        """The mean training loss since the last call, (S,), of the stage: see :meth:`Trainer.mean_loss`."""
        return self.trainer.mean_loss()

    def state(self) -> dict[str, Tensor]:
        """The networks' tensors, and those of the stage as ``local/scale`` and ``local/head/*``."""
        head = {f"{LOCAL}head/{name}": value for name, value in self.head.state().items()}
        return self.networks.state() | {f"{LOCAL}scale": self.scale.cpu()} | head


class Learners(dict[Way, Learner]):
    """The learners of all ways, by way."""

    @classmethod
    def of(cls, run: Run, seeds: Sequence[int], device: str, state: TrainingState | None) -> "Learners":
        """Learners at the begin of training, or as a training state has left them."""
        learners = cls()
        for way in run.settings.ways:
            network = under(state.network(), way) if state else {}
            whole = {name: value for name, value in network.items() if not name.startswith(LOCAL)}
            students = Networks.from_state(whole, device=device) if state else initial_students(run, seeds, device)
            learners[way] = Learner(way, students, seeds, run.settings.training.epochs)
        return learners

    def state(self) -> dict[str, Tensor]:
        """The states of all learners, as ``<way>/*``."""
        return {f"{way}/{name}": value for way, one in self.items() for name, value in one.state().items()}

    def evaluate(self, evaluation: Evaluation, *, first: bool = False) -> dict[str, Tensor]:
        """All measurements of students, see :func:`luckmatters.learning.evaluation.measured`, as ``<way>/*``."""
        return {
            f"{way}/{name}": value
            for way, one in self.items()
            for name, value in evaluate(evaluation, one, first=first).items()
        }


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
    """
    settings, evaluation = run.settings, Evaluation.of(run, teachers, data, seeds)
    epochs, state, learners = settings.training.epochs, resume, Learners.of(run, seeds, device, resume)
    for epoch in range(state.epoch if state else 0, epochs):
        length = rate(settings, epoch)
        for way, learner in learners.items():
            if learner.stage is None or learner.stage.end == epoch:
                x, local = next(data.blocks(seeds, epoch)), under(state.network(), f"{way}/local") if state else {}
                learner.enter(epoch, x, length, local)
        if state is None:
            state = TrainingState.none().record(learners, learners.evaluate(evaluation, first=True))
            yield state
        for x, target in batches(evaluation.teachers, data, seeds, epoch, on_labels=False):
            for learner in learners.values():
                learner.step(x, target, length)
        state = state.record(learners, learners.evaluate(evaluation))
        if state.epoch == epochs:
            for way, learner in learners.items():
                best = best_readout(learner, evaluation, data)
                state.tensors[f"fixed/readout_loss/{way}"] = best.cpu()
        yield state


def best_readout(learner: Learner, evaluation: Evaluation, data: Data) -> Tensor:
    """The loss with the best readout on the hidden layers at the end, (S,), float64, on the evaluation set.

    It is best on the samples of the last FITTED epochs.
    """
    readout, networks = Readout(), learner.networks
    for epoch in range(learner.stage.end - FITTED, learner.stage.end):
        for x in data.blocks(learner.seeds, epoch):
            readout.add(networks.activations(x)[-2], evaluation.teachers(x))
    _, found = overlaps(evaluation.teachers, with_readout(networks, *readout.solve()), evaluation.x)
    return found["loss"]


def last(run: Run) -> int:
    """The last epoch."""
    return run.settings.training.epochs


def finish(run: Run, seeds: Sequence[int], state: TrainingState) -> Result:
    """The table of a run up to the last epoch of a training state; no tensors.

    table: columns branch (the way), seed, epoch, layer (<NA> for the whole network), quantity, value. Quantities are
    those of :func:`luckmatters.learning.curves.student_curves`, of the whole network at every epoch, whichever layers
    have learned by then; training_loss is that of the stage, on the outputs or on the inputs that a layer reconstructs.
    And readout_loss, at the end of the run alone: see :func:`best_readout`.
    """
    frames = []
    for way in run.settings.ways:
        history = {f"history/{name}": value for name, value in under(state.history(), way).items()}
        found = [student_curves(seeds, TrainingState(state.epoch, history)).table]
        if state.epoch == last(run):
            best = state.tensors[f"fixed/readout_loss/{way}"]
            found.append(rows("readout_loss", best, epoch=[state.epoch], seed=seeds))
        frames += [part.assign(branch=way) for part in found]
    return Result(joined(frames), {})
