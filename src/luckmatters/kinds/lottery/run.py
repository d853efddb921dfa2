"""Kind ``lottery``: prune the students of a finished run and train what is left again, from many starts at once.

All starts (branches) of all seeds are one batch, those of a seed in a row: network s · B + b is branch b of seed s.
They see the same samples, in epochs that the finished run did not have, and take as many steps as it did.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import pandas as pd
import torch
from torch import Tensor

from luckmatters.kinds.lottery.rounds import sizes
from luckmatters.learning import students
from luckmatters.learning.curves import whole_network
from luckmatters.learning.data import Data, on_labels, select_teachers
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
from luckmatters.tables.history import Result, TrainingState, diverged_by, tidy, under

SCORING_SAMPLES = 1024  # training samples that the criteria look at; evaluation samples stay unseen
SCORING_EPOCH = -1  # their stream: no epoch has this number


@dataclass(frozen=True)
class Job:
    """What does not change during a job; teachers: one, or one a seed; x: the samples that the criteria look at."""

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
        """Epochs of the finished run, and of every time that networks are trained again."""
        return self.run.source.settings.training.epochs

    def counts(self, size: float) -> list[int]:
        """How many nodes (or weights) of each layer a network of `size` times the teacher's hidden widths has."""
        teacher, widths = self.run.teacher, scaled(self.run.teacher.widths, size)
        if self.of_nodes:
            return widths
        shapes = weight_shapes(teacher.shape, [*widths, teacher.outputs], teacher.kernel)
        return [math.prod(shape) for shape in shapes]

    def scores(self, networks: Networks, mask: Mask) -> list[Tensor]:
        """What the criterion gives networks that this mask has left of the dense ones, at their dense places."""
        criterion, nodes = self.run.settings.pruning.criterion.removesuffix("-overall"), mask.of_nodes
        if criterion == "initial-overlap":
            return criteria.node_overlap(self.teachers, self.trunk.initial, self.x)
        if criterion == "overlap":
            found = criteria.node_overlap(self.teachers, networks, self.x)
        elif criterion == "contribution":
            found = (criteria.fan_out_spread if nodes else criteria.weight_spread)(networks, self.x)
        else:
            found = (criteria.node_magnitude if nodes else criteria.weight_magnitude)(networks)
        return in_place(found, mask)

    def prune(self, networks: Networks, mask: Mask, size: float) -> Mask:
        """The next mask: what networks that this one has left keep at a smaller size."""
        overall = self.run.settings.pruning.criterion.endswith("-overall")
        return (keep_overall if overall else keep_by_layer)(self.scores(networks, mask), self.counts(size))

    def next_round(self, networks: Networks, mask: Mask, size: float) -> dict[str, Tensor]:
        """What the next round goes by: ``fixed/mask/<layer>``, and ``fixed/sound``, the seeds that have one."""
        layers = self.prune(networks, mask, size).state()
        return {f"fixed/mask/{layer}": value for layer, value in layers.items()} | {"fixed/sound": self.sound(networks)}

    def train(self, trainer: Trainer, epoch: int, *, stream: int) -> None:
        """Train for an epoch (from 0, it sets the rate) on the samples of that number."""
        settings = self.run.source.settings
        rate = students.rate(settings, epoch)
        train_epoch(trainer, self.teachers, self.data, self.seeds, stream, rate, on_labels=on_labels(settings))

    def sound(self, networks: Networks) -> Tensor:
        """Of which seeds these networks, one a seed, have not diverged, (S,), bool: others have nothing to prune by."""
        measured = self.evaluate(networks)
        return (measured["finite"] & measured["loss"].isfinite()).cpu()

    def trainer(self, starts: Sequence[Start]) -> Trainer:
        """Trains all these networks as one batch."""
        networks = Networks.interleaved([one.networks for one in starts])
        mask = None if self.of_nodes else Mask.interleaved([one.mask for one in starts])
        return Trainer(networks, students.loss(self.run.source.settings), mask)

    def evaluate(self, networks: Networks) -> dict[str, Tensor]:
        """What :func:`luckmatters.learning.evaluation.overlaps` finds of a whole number of networks a seed.

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
        gathered, found = overlaps(teachers, networks, x, labels, on_labels=on_labels(settings))
        found["finite"] = networks.finite()
        for layer, overlap in enumerate(gathered):
            found |= {f"best/{layer}": overlap.best()[0], f"live/{layer}": overlap.live()}
        return found

    def luck(self, mask: Mask) -> dict[str, Tensor]:
        """Of each layer, which share of the kept nodes overlap at initialization would have kept, and would by chance.

        Two tensors, (layers, S): ``lucky`` and ``lucky_chance``.
        """
        counts = mask.counts()
        predicted = keep_by_layer(criteria.node_overlap(self.teachers, self.trunk.initial, self.x), counts)
        both = torch.stack([(a * b).sum(1) for a, b in zip(mask.layers, predicted.layers, strict=True)])
        widths = torch.tensor([[layer.shape[1]] for layer in mask.layers], device=counts.device)
        return {"lucky": both / counts, "lucky_chance": counts / widths}

    def facts(self, starts: dict[str, Start]) -> dict[str, Tensor]:
        """What is known of the branches before they train: how lucky their nodes are, what the untrained one is worth.

        Keys: fixed/luck/<branch>/… and fixed/untrained/….
        """
        found = {}
        for name, one in starts.items():
            if one.mask and one.mask.of_nodes:
                found |= {f"fixed/luck/{name}/{key}": value.cpu() for key, value in self.luck(one.mask).items()}
        if "untrained" in starts:
            measured = self.evaluate(starts["untrained"].networks)
            found |= {f"fixed/untrained/{key}": value.cpu() for key, value in measured.items()}
        return found


def last(run: Run) -> int:
    """The last epoch; every round has as many as the finished run."""
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
    """Yield the state after every epoch of every round, that before training first; only the last has a history.

    Each round trains what the mask of the round before has left: the tickets alone, all branches in the last round.
    teachers, data, tensors: the finished run's teacher file, samples and saved tensors. resume: a state yielded
    earlier; what follows is what the undisturbed run would have yielded. A seed whose dense network, or ticket of an
    earlier round, has diverged is NaN in every branch.
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
        trainer = job.trainer([one for name, one in starts.items() if name != "untrained"])
        if state.epoch < begin:
            if final:
                state.tensors |= job.facts(starts)
            state = state.record(trainer.networks, job.evaluate(trainer.networks) if final else {})
            yield state
        else:
            trainer = Trainer(Networks.from_state(state.network(), device=device), trainer.loss, trainer.mask)
        for epoch in range(state.epoch - begin, job.epochs):
            # What is compared sees the same samples, however many rounds came before.
            job.train(trainer, epoch, stream=(1 if final else 2 + done) * job.epochs + epoch)
            if final or epoch + 1 < job.epochs:
                state = state.record(trainer.networks, job.evaluate(trainer.networks) if final else {})
                yield state
        if not final:
            state = TrainingState(state.epoch, job.next_round(trainer.networks, mask, planned[done + 1]))


def without_diverged(one: Start, sound: Tensor) -> Start:
    """The same start with NaN in place of the networks of seeds that are not sound, (S,): they count as diverged."""
    tensors = {
        name: tensor.masked_fill(~sound.view(-1, *[1] * (tensor.dim() - 1)), torch.nan)
        for name, tensor in one.networks.named_tensors()
    }
    return Start(Networks.from_state(tensors, device=str(sound.device)), one.mask)


def prepare(
    run: Run, teachers: Networks, data: Data, tensors: dict[str, Tensor], seeds: Sequence[int], device: str
) -> Job:
    """Read the finished run's snapshots, and draw the samples that the criteria look at."""
    epochs = 0, run.settings.early_epoch, run.source.settings.training.epochs
    networks = [None if epoch is None else snapshot(tensors, epoch, device=device) for epoch in epochs]
    scale = run.source.settings.student.norm_scale
    trunk = Trunk(*networks, seeds, run.teacher.shape, run.teacher.kernel, scale)
    enough = -(-SCORING_SAMPLES // data.batch)  # a block is a batch at least
    x = torch.cat(list(islice(data.blocks(seeds, SCORING_EPOCH), enough)), 2)[..., :SCORING_SAMPLES]
    return Job(run, select_teachers(run.source, teachers, seeds), data, seeds, trunk, x)


def finish(run: Run, seeds: Sequence[int], state: TrainingState) -> Result:
    """The table of a finished run, and the mask.

    table: columns branch, seed, epoch, layer (<NA> for the whole network), quantity, value; epochs count from the
    beginning of the last round, and the branch untrained has epoch 0 alone. Of the whole network: loss, diverged (0/1),
    where samples have labels accuracy and teacher_accuracy; of a layer: correlation (ρ̄, the mean best ρ of teacher
    nodes that are not dead) and dead_teachers. A best ρ below 0 counts as 0, which is what nodes have that stand in for
    those of wider seeds (see the science module pruning, ``narrow``). In networks pruned by nodes also, at epoch 0 of
    each branch and layer, lucky and lucky_chance (see :meth:`Job.luck`).
    A seed whose dense network, or ticket of an earlier round, diverged is diverged in every branch from epoch 0 on.
    tensors: mask/<layer>, of such a seed all 0.
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
        its = history[name]
        diverged = diverged_by(its)
        rows = whole_network(seeds, its, diverged)
        for layer in range(sum(key.startswith("best/") for key in its)):
            best, live = its[f"best/{layer}"].clamp(min=0), its[f"live/{layer}"]
            rows.append(tidy(seeds, layer, "correlation", over_live(best, live), diverged))
            rows.append(tidy(seeds, layer, "dead_teachers", (~live).sum(2), diverged))
        frames += [one.assign(branch=name) for one in rows]
        for quantity, value in under(state.tensors, f"fixed/luck/{name}").items():
            by_layer = [tidy(seeds, layer, quantity, one[None], diverged[:1]) for layer, one in enumerate(value)]
            frames += [one.assign(branch=name) for one in by_layer]
    table, sound = pd.concat(frames, ignore_index=True), state.tensors["fixed/sound"]
    return Result(
        table[["branch", *table.columns.drop("branch")]],
        {f"mask/{layer}": _only(value, sound) for layer, value in under(state.tensors, "fixed/mask").items()},
    )


def _only(values: Tensor, sound: Tensor) -> Tensor:
    """Zeros in place of the seeds that are not sound, (S, …)."""
    return values.masked_fill(~sound.view(-1, *[1] * (values.dim() - 1)), 0)
