"""Kind ``lottery``: prune the students of a finished run and train what is left again, from many starts at once.

All starts (branches) of all seeds are one batch, the branches of a seed in a row: network s · B + b is branch b of
seed s. All branches see the same samples, in epochs that the finished run did not have. They take as many steps as the
finished run.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from luckmatters.kinds.lottery.rounds import sizes
from luckmatters.learning import students
from luckmatters.learning.curves import whole_network
from luckmatters.learning.data import Data, on_labels, scoring_samples, select_teachers
from luckmatters.learning.evaluation import overlaps
from luckmatters.learning.students import snapshot, train_epoch
from luckmatters.science import criteria
from luckmatters.science.networks import Networks
from luckmatters.science.overlap import over_live
from luckmatters.science.pruning import Mask, in_place, keep_by_layer, keep_overall
from luckmatters.science.shapes import scaled, weight_shapes
from luckmatters.science.tickets import BRANCHES, Start, Trunk
from luckmatters.science.training import Trainer
from luckmatters.settings.experiment import Run
from luckmatters.tables.files import under
from luckmatters.tables.history import Result, TrainingState, diverged_by, tidy


@dataclass(frozen=True)
class Job:
    """The constants of a job: the run, teachers, samples, seeds, and snapshots of dense networks (trunk).

    teachers: a single teacher, or a teacher a seed.
    x: the samples for the criteria, (S, n_in, N).
    """

    run: Run
    teachers: Networks
    data: Data
    seeds: Sequence[int]
    trunk: Trunk
    x: Tensor

    @property
    def of_nodes(self) -> bool:
        """Whether nodes are pruned, or else weights."""
        return self.run.settings.pruning.granularity == "nodes"

    @property
    def epochs(self) -> int:
        """Number of epochs of the finished run, and of every round."""
        return self.run.source.settings.training.epochs

    def counts(self, size: float) -> list[int]:
        """Number of nodes (or weights) of each layer, in a network of `size` times the teacher's hidden widths."""
        teacher, widths = self.run.teacher, scaled(self.run.teacher.widths, size)
        if self.of_nodes:
            return widths
        shapes = weight_shapes(teacher.shape, [*widths, teacher.outputs], teacher.kernel)
        return [math.prod(shape) for shape in shapes]

    def scores(self, networks: Networks, mask: Mask) -> list[Tensor]:
        """The scores by the criterion, layer by layer, at the places of the dense network.

        networks: what the mask has left of the dense networks.
        """
        criterion, nodes = self.run.settings.pruning.criterion.removesuffix("-overall"), mask.of_nodes
        if criterion == "initial-overlap":
            return criteria.node_overlap(self.teachers, self.trunk.initial, self.x)
        if criterion == "overlap":
            scores = criteria.node_overlap(self.teachers, networks, self.x)
        elif criterion == "contribution":
            scores = (criteria.fan_out_spread if nodes else criteria.weight_spread)(networks, self.x)
        else:
            scores = (criteria.node_magnitude if nodes else criteria.weight_magnitude)(networks)
        return in_place(scores, mask)

    def prune(self, networks: Networks, mask: Mask, size: float) -> Mask:
        """The next mask, which keeps a smaller size of the networks that the given mask has left."""
        overall = self.run.settings.pruning.criterion.endswith("-overall")
        return (keep_overall if overall else keep_by_layer)(self.scores(networks, mask), self.counts(size))

    def next_round(self, networks: Networks, mask: Mask, size: float) -> dict[str, Tensor]:
        """The state for the next round: ``fixed/mask/<layer>``, and ``fixed/sound`` (see :meth:`Job.sound`)."""
        layers = self.prune(networks, mask, size).state()
        return {f"fixed/mask/{layer}": value for layer, value in layers.items()} | {"fixed/sound": self.sound(networks)}

    def train(self, trainer: Trainer, epoch: int, *, stream: int) -> None:
        """Train for an epoch.

        epoch: from 0, for the learning rate. stream: the number of the epoch whose samples are used.
        """
        settings = self.run.source.settings
        rate = students.rate(settings, epoch)
        train_epoch(trainer, self.teachers, self.data, self.seeds, stream, rate, on_labels=on_labels(settings))

    def sound(self, networks: Networks) -> Tensor:
        """Whether each seed's network has not diverged, (S,), bool. Diverged networks have no scores to prune by.

        networks: a network a seed.
        """
        measured = self.evaluate(networks)
        return (measured["finite"] & measured["loss"].isfinite()).cpu()

    def trainer(self, starts: Sequence[Start]) -> Trainer:
        """A trainer of the networks of all starts as one batch."""
        networks = Networks.interleaved([start.networks for start in starts])
        mask = None if self.of_nodes else Mask.interleaved([start.mask for start in starts])
        return Trainer(networks, students.loss(self.run.source.settings), mask)

    def evaluate(self, networks: Networks) -> dict[str, Tensor]:
        """The quantities of :func:`luckmatters.learning.evaluation.overlaps`, for networks of B branches a seed.

        Also finite, (S · B,), and for each layer l best/l, the best ρ, and live/l, the teacher nodes that are not dead,
        both (S · B, n°).
        """
        settings, copies = self.run.source.settings, networks.seeds // len(self.seeds)
        x, labels = self.data.evaluation_set(self.seeds, settings.data.evaluation_samples)
        teachers = self.teachers
        if len(x) > 1:
            x = x.repeat_interleave(copies, 0)
        if teachers.seeds > 1:
            teachers = teachers.select([seed for seed in range(teachers.seeds) for _ in range(copies)])
        gathered, measured = overlaps(teachers, networks, x, labels, on_labels=on_labels(settings))
        measured["finite"] = networks.finite()
        for layer, overlap in enumerate(gathered):
            measured |= {f"best/{layer}": overlap.best()[0], f"live/{layer}": overlap.live()}
        return measured

    def luck(self, mask: Mask) -> dict[str, Tensor]:
        """The share of kept nodes that overlap at initialization would keep too, and the share by chance.

        Two tensors, (layers, S): ``lucky`` and ``lucky_chance``.
        """
        counts = mask.counts()
        predicted = keep_by_layer(criteria.node_overlap(self.teachers, self.trunk.initial, self.x), counts)
        both = torch.stack([(a * b).sum(1) for a, b in zip(mask.layers, predicted.layers, strict=True)])
        widths = torch.tensor([[layer.shape[1]] for layer in mask.layers], device=counts.device)
        return {"lucky": both / counts, "lucky_chance": counts / widths}

    def facts(self, starts: dict[str, Start]) -> dict[str, Tensor]:
        """Measurements of branches before training: the luck of kept nodes, and the evaluation of the untrained branch.

        Keys: fixed/luck/<branch>/… and fixed/untrained/….
        """
        known = {}
        for name, start in starts.items():
            if start.mask and start.mask.of_nodes:
                known |= {f"fixed/luck/{name}/{key}": value.cpu() for key, value in self.luck(start.mask).items()}
        if "untrained" in starts:
            measured = self.evaluate(starts["untrained"].networks)
            known |= {f"fixed/untrained/{key}": value.cpu() for key, value in measured.items()}
        return known


def last(run: Run) -> int:
    """The last epoch. Every round has as many epochs as the finished run."""
    return run.settings.pruning.rounds * run.source.settings.training.epochs


def retrain(
    run: Run,
    teachers: Networks,
    data: Data,
    tensors: dict[str, Tensor],
    seeds: Sequence[int],
    *,
    device: str = "cpu",
    resume: TrainingState | None = None,
) -> Iterator[TrainingState]:
    """Yield the state after every epoch of every round, the state before training first.

    Each round trains what the mask of the round before has left: the tickets alone, in the last round all branches.
    Only states of the last round have a history. A seed whose dense network, or ticket of an earlier round, has
    diverged is NaN in every branch.
    teachers, data, tensors: the finished run's teacher file, samples and saved tensors.
    resume: a state yielded earlier; what follows is what the undisturbed run would have yielded.
    """
    job = prepare(run, teachers, data, tensors, seeds, device)
    planned = sizes(run.settings.pruning, run.source.settings.student.multiplier)
    nothing_pruned = Mask.everything(job.trunk.initial, nodes=job.of_nodes)
    state = resume or TrainingState(-1, job.next_round(job.trunk.final, nothing_pruned, planned[0]))
    for done in range(max(state.epoch, 0) // job.epochs, len(planned)):
        begin, final = done * job.epochs, done + 1 == len(planned)
        mask = Mask.from_state(under(state.tensors, "fixed/mask"), device=device)
        names = run.settings.branches if final else ["rewound"]
        sound = state.tensors["fixed/sound"].to(device)
        starts = {name: without_diverged(BRANCHES[name](job.trunk, mask), sound) for name in names}
        trainer = job.trainer([start for name, start in starts.items() if name != "untrained"])
        if state.epoch < begin:
            if final:
                state.tensors |= job.facts(starts)
            state = state.record(trainer.networks, job.evaluate(trainer.networks) if final else {})
            yield state
        else:
            trainer = Trainer(Networks.from_state(state.network(), device=device), trainer.loss, trainer.mask)
        for epoch in range(state.epoch - begin, job.epochs):
            # The last round sees the same samples after any number of rounds, so that runs can be compared.
            job.train(trainer, epoch, stream=(1 if final else 2 + done) * job.epochs + epoch)
            if final or epoch + 1 < job.epochs:
                state = state.record(trainer.networks, job.evaluate(trainer.networks) if final else {})
                yield state
        if not final:
            state = TrainingState(state.epoch, job.next_round(trainer.networks, mask, planned[done + 1]))


def without_diverged(one: Start, sound: Tensor) -> Start:
    """A copy of a start with NaN in the networks of seeds that are not sound, so that they count as diverged.

    sound: (S,), bool.
    """
    tensors = {
        name: tensor.masked_fill(~sound.view(-1, *[1] * (tensor.dim() - 1)), torch.nan)
        for name, tensor in one.networks.named_tensors()
    }
    return Start(Networks.from_state(tensors, device=str(sound.device)), one.mask)


def prepare(
    run: Run, teachers: Networks, data: Data, tensors: dict[str, Tensor], seeds: Sequence[int], device: str
) -> Job:
    """The job: snapshots of the finished run, and samples for the criteria."""
    epochs = 0, run.settings.early_epoch, run.source.settings.training.epochs
    networks = [None if epoch is None else snapshot(tensors, epoch, device=device) for epoch in epochs]
    scale = run.source.settings.student.norm_scale
    trunk = Trunk(*networks, seeds, run.teacher.shape, run.teacher.kernel, scale)
    return Job(run, select_teachers(run.source, teachers, seeds), data, seeds, trunk, scoring_samples(data, seeds))


def finish(run: Run, seeds: Sequence[int], state: TrainingState) -> Result:
    """The table of a finished run, and the mask.

    table: columns branch, seed, epoch, layer (<NA> for the whole network), quantity, value. Epochs count from the
    beginning of the last round; the branch untrained has epoch 0 alone. Quantities of the whole network: loss, diverged
    (0/1), and where samples have labels accuracy and teacher_accuracy. Quantities of a layer: correlation (ρ̄, the mean
    best ρ of teacher nodes that are not dead) and dead_teachers. A best ρ below 0 counts as 0: a node that pads a seed
    to the width of wider seeds has ρ = 0 (see the science module pruning, ``narrow``). Networks pruned by nodes also
    have, at epoch 0 of each branch and layer, lucky and lucky_chance (see :meth:`Job.luck`).
    tensors: mask/<layer>.
    A seed whose dense network, or ticket of an earlier round, diverged is diverged in every branch from epoch 0 on, and
    has a mask of zeros.
    """
    trained = [name for name in run.settings.branches if name != "untrained"]
    history = {
        name: {key: value.unflatten(1, (len(seeds), -1))[:, :, branch] for key, value in state.history().items()}
        for branch, name in enumerate(trained)
    }
    if left := under(state.tensors, "fixed/untrained"):
        history["untrained"] = {key: value[None] for key, value in left.items()}
    frames = []
    for name in run.settings.branches:
        measured = history[name]
        diverged = diverged_by(measured)
        rows = whole_network(seeds, measured, diverged)
        for layer in range(sum(key.startswith("best/") for key in measured)):
            best, live = measured[f"best/{layer}"].clamp(min=0), measured[f"live/{layer}"]
            rows.append(tidy(seeds, layer, "correlation", over_live(best, live), diverged))
            rows.append(tidy(seeds, layer, "dead_teachers", (~live).sum(2), diverged))
        frames += [part.assign(branch=name) for part in rows]
        for quantity, value in under(state.tensors, f"fixed/luck/{name}").items():
            by_layer = [tidy(seeds, layer, quantity, share[None], diverged[:1]) for layer, share in enumerate(value)]
            frames += [part.assign(branch=name) for part in by_layer]
    table, sound = pd.concat(frames, ignore_index=True), state.tensors["fixed/sound"]
    return Result(
        table[["branch", *table.columns.drop("branch")]],
        {f"mask/{layer}": _only(value, sound) for layer, value in under(state.tensors, "fixed/mask").items()},
    )


def _only(values: Tensor, sound: Tensor) -> Tensor:
    """Values (S, …) with zeros in the seeds that are not sound, (S,)."""
    return values.masked_fill(~sound.view(-1, *[1] * (values.dim() - 1)), 0)
