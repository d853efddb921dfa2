"""The keys of every configuration file, their types and their limits. Unknown keys are refused."""

import itertools
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    model_validator,
)

from luckmatters.science.shapes import fan_in, scaled, weight_shapes

NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
Name = Annotated[str, Field(pattern=NAME)]  # safe as a folder name, a wildcard and a key
Positive = Annotated[int, Field(gt=0)]
# What figures, captions and verdicts advise where published numbers stand in for weights.
WEIGHTS_REMEDY = (
    "`weights=torchvision` after `--config` (beside the scale) gets the weights (0.5 GB a VGG network), and with them "
    "counts and histograms"
)
# torchvision's names of networks with BatchNorm and weights for ImageNet.
Pretrained = Literal[
    "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn", "resnet18", "resnet34", "resnet50", "resnet101"
]  # fmt: skip
# Columns of the tables that tell values apart besides seeds and nodes, over which summaries average.
SUMMARY_KEYS = ("variant", "branch", "start", "epoch", "layer", "rank", "quantity")
Verdict = Literal["supported", "mixed", "contradicted", "undecided", "not judged at this scale", "not run"]
Role = Literal["core", "refinement", "control", "exploratory"]


class Model(BaseModel):
    """Strict: no unknown keys, no silent conversion of a string to a number, nothing changed after checking."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Cifar10Source(Model):
    """Where CIFAR-10 comes from; ``auto`` goes by what the path is, or without one by the scale's own choice."""

    source: Literal["auto", "torchvision", "root", "folder", "synthetic"]
    path: str | None = None


class Settings(Model):
    """config/config.yaml."""

    scale: Name
    device: Literal["cpu", "cuda"]
    results: str
    figures: str
    cifar10: Cifar10Source
    weights: Literal["auto", "torchvision", "published"]


class GausSamples(Model):
    """x ~ N(0, std² I)."""

    kind: Literal["gaus"]
    std: Annotated[float, Field(gt=0)]
    evaluation_samples: Annotated[int, Field(ge=2)]


class GausData(GausSamples):
    """The same to train on."""

    samples_per_epoch: Positive
    infinite: bool


class Cifar10Samples(Model):
    """Test images of CIFAR-10."""

    kind: Literal["cifar10"]
    evaluation_samples: Annotated[int, Field(ge=2)]


class Cifar10Data(Cifar10Samples):
    """CIFAR-10 to train on: each epoch that many of the training images, drawn anew; evaluation on test images."""

    samples_per_epoch: Positive
    augment: bool


class Rate(Model):
    """From this epoch on, this learning rate."""

    epoch: Annotated[int, Field(ge=0)]
    rate: Annotated[float, Field(gt=0)]


def _in_order(schedule: list[Rate]) -> list[Rate]:
    epochs = [step.epoch for step in schedule]
    if epochs[0] != 0 or epochs != sorted(set(epochs)):
        raise ValueError(f"a schedule starts at epoch 0 and its epochs increase, got epochs {epochs}")
    return schedule


class Training(Model):
    """SGD, which is plain unless more is said (by :class:`LabelTraining`)."""

    epochs: Positive
    batch: Annotated[int, Field(ge=2)]
    learning_rate: Annotated[list[Rate], Field(min_length=1), AfterValidator(_in_order)]
    snapshots: list[Annotated[int, Field(ge=0)]]

    @model_validator(mode="after")
    def _within_the_run(self) -> "Training":
        for epoch in [*self.snapshots, *(step.epoch for step in self.learning_rate)]:
            if epoch > self.epochs:
                raise ValueError(f"epoch {epoch} lies after the last one, {self.epochs}")
        return self


def _batches_fit(samples: int, batch: int, *, batch_norm: bool) -> None:
    """Raises ValueError if an epoch is smaller than a batch, or if BatchNorm would be given a batch of one."""
    if batch > samples:
        raise ValueError(f"a batch of {batch} is more than an epoch of {samples} samples; lower training.batch")
    if batch_norm and samples % batch == 1:
        raise ValueError(
            f"the last batch would hold one sample, which BatchNorm cannot normalize: samples_per_epoch {samples}, "
            f"batch {batch}; change one of them"
        )


class LabelTraining(Training):
    """SGD with momentum and weight decay, as torch.optim.SGD has them; plain without.

    precision: of convolutions and the BatchNorm behind them, float32 if it is not said; parameters, velocity, linear
    layers and evaluation keep float32. annealing: the scheduled rates fall to nearly zero by half a cosine, epoch by
    epoch, as torch.optim.lr_scheduler.CosineAnnealingLR has it.
    """

    momentum: Annotated[float, Field(gt=0, lt=1)] | None = None
    weight_decay: Annotated[float, Field(gt=0)] | None = None
    precision: Literal["bfloat16"] | None = None
    annealing: Literal["cosine"] | None = None


class Pretraining(Model):
    """How a teacher is trained on labels.

    readout_scale: what the scales of the BatchNorm below the output layer start with, 1 if it is not said.
    """

    data: Cifar10Data
    training: LabelTraining
    readout_scale: Annotated[float, Field(gt=0)] | None = None


# Keys of a teacher that are shown and that no number depends on.
TEACHER_TEXTS = frozenset({"reduced", "published_accuracy"})


class Teacher(Model):
    """One entry of config/teachers.yaml; with a kernel, hidden layers are convolutions of that size.

    norm: where BatchNorm stands, after the ReLU (also if it is not said) or before it.
    """

    inputs: Positive | Annotated[list[Positive], Field(min_length=3, max_length=3)]
    kernel: Positive | None = None
    widths: Annotated[list[Positive], Field(min_length=1)]
    outputs: Positive
    init: Literal["separated", "no_sep", "pretrained"]
    batch_norm: bool = False
    norm: Literal["after", "before"] | None = None
    pretraining: Pretraining | None = None
    published_accuracy: Annotated[float, Field(gt=0, le=1)] | None = None
    count: Positive
    reduced: str | None = None  # what the scale in force changes; set by the loader

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a sample: (n,), or (channels, height, width)."""
        return (self.inputs,) if isinstance(self.inputs, int) else tuple(self.inputs)

    @model_validator(mode="after")
    def _layers_fit(self) -> "Teacher":
        if self.kernel and (len(self.shape) != 3 or self.shape[1] != self.shape[2]):
            raise ValueError(f"convolutions need square images, inputs: [channels, side, side], got {self.inputs}")
        shapes = weight_shapes(self.shape, [*self.widths, self.outputs], self.kernel)
        if self.init == "separated":
            for shape in shapes:
                if shape[0] > 5 ** fan_in(shape) - 1:
                    raise ValueError(
                        f"{shape[0]} separated nodes cannot all differ with {fan_in(shape)} inputs; use fewer"
                    )
        return self

    @model_validator(mode="after")
    def _pretraining_fits(self) -> "Teacher":
        if (self.init == "pretrained") != (self.pretraining is not None):
            raise ValueError("init pretrained and the key pretraining go together; give both or neither")
        if self.norm and not self.batch_norm:
            raise ValueError(f"norm {self.norm} needs batch_norm: true")
        if self.batch_norm and not self.pretraining:
            raise ValueError("batch_norm needs init pretrained: a random teacher has no running statistics")
        if self.pretraining:
            check_images(self.shape, self.outputs)
            data, training = self.pretraining.data, self.pretraining.training
            if self.pretraining.readout_scale and not self.batch_norm:
                raise ValueError("pretraining.readout_scale is of BatchNorm, which needs batch_norm: true")
            if training.precision and not self.kernel:
                raise ValueError(f"precision {training.precision} is for convolutions (kernel); drop it")
            _batches_fit(data.samples_per_epoch, training.batch, batch_norm=self.batch_norm)
        return self


def check_images(shape: tuple[int, ...], outputs: int) -> None:
    """Raises ValueError if a network of that shape cannot learn CIFAR-10."""
    if shape != (3, 32, 32) or outputs != 10:
        raise ValueError(f"CIFAR-10 needs inputs [3, 32, 32] and 10 outputs, got {list(shape)} and {outputs}")


class TeacherChoice(Model):
    """Which teacher labels the data: one for all students (``seed: 0``), or student k's own (``seed: own``)."""

    name: Name
    seed: Annotated[int, Field(ge=0)] | Literal["own"]


class Student(Model):
    """The teacher's shape with ``multiplier`` times the nodes in each hidden layer.

    norm_scale: BatchNorm's scales start uniform in [0, 1), as torch had them before version 1.2, or, without, at 1.
    """

    multiplier: Positive
    batch_norm: bool
    norm_scale: Literal["uniform"] | None = None

    @model_validator(mode="after")
    def _scales_of_norms(self) -> "Student":
        if self.norm_scale and not self.batch_norm:
            raise ValueError(f"norm_scale {self.norm_scale} is of BatchNorm, which needs batch_norm: true")
        return self


def _seeds(value: object) -> object:
    """Said in one sentence, since a union of types would give one fault for each of its members."""
    whole = [one for one in (value if isinstance(value, list) else [value]) if type(one) is int]
    listed = isinstance(value, list) and 0 < len(value) == len(set(whole)) and min(whole) >= 0
    if not listed and not (type(value) is int and value > 0):
        raise ValueError("must be a number of seeds, 1 or more, or a list of different seeds, each 0 or more")
    return value


Seeds = Annotated[int | list[int], BeforeValidator(_seeds)]


class WithTeacher(Model):
    """What the settings of every kind have that reads a file of teachers."""

    teacher: TeacherChoice
    seeds: Seeds


class StudentTraining(WithTeacher):
    """Settings of the kind ``student-training``: train students to a teacher and measure the overlap every epoch.

    target: what students learn from, the teacher's outputs (the default) or the labels of the images; the teacher then
    lends them its shape and is what their overlap is measured with.
    """

    student: Student
    data: Annotated[GausData | Cifar10Data, Field(discriminator="kind")]
    training: Training
    target: Literal["teacher", "labels"] | None = None

    @property
    def on_labels(self) -> bool:
        """Whether students learn from labels."""
        return self.target == "labels"

    @model_validator(mode="after")
    def _has_labels(self) -> "StudentTraining":
        if self.on_labels and self.data.kind != "cifar10":
            raise ValueError(f"target labels needs data with labels (kind cifar10), got kind {self.data.kind}")
        return self

    @model_validator(mode="after")
    def _batches_fit(self) -> "StudentTraining":
        _batches_fit(self.data.samples_per_epoch, self.training.batch, batch_norm=self.student.batch_norm)
        return self


class LuckSpeed(StudentTraining):
    """Settings of the kind ``luck-speed``: student training that follows every student node.

    measurements: how many moments after the first are measured, evenly in the logarithm of the step, from first_step to
    the end, besides those at whole epochs; levels: of ρ, whose passing is timed; negligible: below this share of its
    layer's greatest, a student's contribution does not count.
    """

    measurements: Annotated[int, Field(ge=2)]
    first_step: Positive
    levels: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)]
    negligible: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _what_is_followed(self) -> "LuckSpeed":
        if self.on_labels or self.training.snapshots:
            raise ValueError(
                "kind luck-speed learns from the teacher and keeps no snapshots; drop target and snapshots"
            )
        return self


class Measurement(Model):
    """What the settings of every measuring kind have: the finished training run that is measured."""

    measures: Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]

    def check_source(self, trained: StudentTraining, teacher: Teacher) -> None:
        """Raises ValueError if that run does not have what is measured."""


class RankProfile(Measurement):
    """Settings of the kind ``rank-profile``: the best students of each teacher node, before and after training."""

    students: Positive


class GradientMeasurement(Measurement):
    """Settings of the kinds ``modulation`` and ``gradient-rule``; samples: evaluation samples that means are over."""

    samples: Annotated[int, Field(ge=2)]

    def check_source(self, trained: StudentTraining, teacher: Teacher) -> None:
        """Raises ValueError for BatchNorm and convolutions, and if there are fewer evaluation samples."""
        if trained.student.batch_norm or teacher.kernel:
            raise ValueError(
                f"measures: {self.measures} has BatchNorm or convolutions, for which the gradient rule is not stated; "
                "choose a fully connected run without"
            )
        if self.samples > trained.data.evaluation_samples:
            raise ValueError(
                f"samples: {self.samples} are more than the {trained.data.evaluation_samples} that {self.measures} is "
                "evaluated on; use fewer"
            )


class Pruning(Model):
    """What is kept of trained networks.

    granularity: hidden nodes, or weights; criterion: what they are ranked by (see luckmatters.science.criteria), layer
    by layer or, for magnitude-overall, all layers together; kept: as much as a network of so many times the teacher's
    hidden widths has in each layer; rounds: steps of a constant share in which that is reached.
    """

    granularity: Literal["nodes", "weights"]
    criterion: Literal["magnitude", "magnitude-overall", "spread", "overlap", "initial-overlap"]
    kept: Annotated[float, Field(gt=0)]
    rounds: Positive

    @model_validator(mode="after")
    def _ranks_nodes(self) -> "Pruning":
        if self.granularity == "weights" and "overlap" in self.criterion:
            raise ValueError(f"criterion {self.criterion} ranks nodes, not weights; use another")
        return self

    def sizes(self, multiplier: int) -> list[float]:
        """The sizes after each round, in the teacher's."""
        return [multiplier * (self.kept / multiplier) ** (done / self.rounds) for done in range(1, self.rounds)] + [
            self.kept
        ]


BranchName = Literal[
    "rewound", "early", "reinitialized", "same-signs", "own-scale", "rewound-own-scale", "random-nodes", "shuffled",
    "scratch", "dense", "untrained",
]  # fmt: skip


class Lottery(Measurement):
    """Settings of the kind ``lottery``: prune the students of a training run, and train them again from many starts.

    branches: the starts (see luckmatters.science.tickets); early_epoch: of the training run, for the branch early.
    """

    pruning: Pruning
    branches: Annotated[list[BranchName], Field(min_length=1)]
    early_epoch: Positive | None = None

    @model_validator(mode="after")
    def _branches_fit(self) -> "Lottery":
        if len(set(self.branches)) < len(self.branches):
            raise ValueError(f"branches: each may stand but once, got {', '.join(self.branches)}")
        if set(self.branches) == {"untrained"}:
            raise ValueError("branches: one at least must train; add another to untrained")
        if "early" in self.branches and self.early_epoch is None:
            raise ValueError("early_epoch: missing, and the branch early needs it; add it, or drop the branch")
        if "scratch" in self.branches and (
            self.pruning.granularity == "weights" or self.pruning.criterion == "magnitude-overall"
        ):
            raise ValueError("branches: scratch needs nodes, and the same number in a layer for every seed")
        return self

    def check_source(self, trained: StudentTraining, teacher: Teacher) -> None:
        """Raises ValueError if there is no early snapshot, or less than nothing to prune."""
        multiplier, kept = trained.student.multiplier, self.pruning.kept
        if self.early_epoch is not None and self.early_epoch not in trained.training.snapshots:
            raise ValueError(
                f"early_epoch: {self.measures} keeps no epoch {self.early_epoch}; add it to training.snapshots there"
            )
        if kept > multiplier or min(scaled(teacher.widths, kept)) < 1:
            raise ValueError(f"pruning.kept: must leave a node in each layer and be {multiplier} at most, got {kept:g}")
        if "dense" in self.branches and kept != multiplier:
            raise ValueError(f"branches: dense needs pruning.kept {multiplier}, where nothing is pruned, got {kept:g}")
        if trained.student.batch_norm and self.pruning.criterion == "magnitude-overall":
            raise ValueError("pruning.criterion: magnitude-overall and BatchNorm do not go together; use another")


class CoActivation(WithTeacher):
    """Settings of the kind ``co-activation``: how often nodes of a teacher fire together, on samples."""

    data: Annotated[GausSamples | Cifar10Samples, Field(discriminator="kind")]


class BnBias(Model):
    """Settings of the kind ``bn-bias``: the BatchNorm of a pretrained network, of which there is one."""

    model: Pretrained
    seeds: Literal[1] = 1


class Simulation(Model):
    """What the settings of every simulating kind have.

    An epoch is `steps_per_epoch` steps of plain gradient descent, each on a new batch.
    """

    learning_rate: Annotated[float, Field(gt=0)]
    batch: Positive
    steps_per_epoch: Positive
    epochs: Positive
    seeds: Seeds


class FanOut(Simulation):
    """Settings of the kind ``fan-out``: the matrix dynamics of students that start near their teacher.

    widths: nodes of all layers of the teacher, inputs and outputs included; multiplier: a student has that many times
    as many hidden ones; starts: for each layer, lowest first, the share of the teacher's columns in the first ones;
    gradient: the matrix form, or accurate, the mean of every sample's own; snapshots: epochs whose every node is kept.
    """

    widths: Annotated[list[Positive], Field(min_length=3)]
    multiplier: Annotated[int, Field(ge=2)]  # with 1 there would be no unmatched nodes
    starts: Annotated[dict[Name, list[Annotated[float, Field(ge=0)]]], Field(min_length=1)]
    bias: Annotated[float, Field(ge=0)]
    gradient: Literal["matrix", "accurate"]
    snapshots: list[Annotated[int, Field(ge=0)]]

    @model_validator(mode="after")
    def _layers_fit(self) -> "FanOut":
        for n_in, n_out in itertools.pairwise(self.widths):
            if n_out > 5**n_in - 1:
                raise ValueError(f"{n_out} separated nodes cannot all differ with {n_in} inputs; use fewer")
        for name, shares in self.starts.items():
            if len(shares) != len(self.widths) - 1:
                raise ValueError(
                    f"start {name} must have a share for each of the {len(self.widths) - 1} layers, got {len(shares)}"
                )
        for epoch in self.snapshots:
            if epoch > self.epochs:
                raise ValueError(f"snapshots: epoch {epoch} lies after the last one, {self.epochs}")
        return self


class TwoNodes(Simulation):
    """Settings of the kind ``two-nodes``: two student nodes, each of which follows its teacher node.

    inputs, outputs: of the network; replicas: pairs of students a seed, with the same teacher and samples; levels: of
    the cosine with the teacher node, whose passing is timed.
    """

    inputs: Annotated[int, Field(ge=2)]
    outputs: Annotated[int, Field(ge=2)]
    replicas: Positive
    gradient: Literal["matrix", "accurate"]
    levels: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)]


class DecisionLines(Simulation):
    """Settings of the kind ``decision-lines``: where the nodes of small networks on two inputs switch on.

    teacher_nodes, students: hidden nodes; outputs: of both; std: of the inputs; snapshots: epochs that are drawn.
    """

    teacher_nodes: Positive
    students: Positive
    outputs: Positive
    std: Annotated[float, Field(gt=0)]
    snapshots: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]

    @model_validator(mode="after")
    def _within_the_run(self) -> "DecisionLines":
        for epoch in self.snapshots:
            if epoch > self.epochs:
                raise ValueError(f"snapshots: epoch {epoch} lies after the last one, {self.epochs}")
        for n_in, n_out in ((2, self.teacher_nodes), (self.teacher_nodes, self.outputs)):
            if n_out > 5**n_in - 1:
                raise ValueError(f"{n_out} separated nodes cannot all differ with {n_in} inputs; use fewer")
        return self


@dataclass(frozen=True)
class Kind:
    """A kind of experiment, a module of luckmatters.experiments; step: the verb and the rule that run its jobs."""

    settings: type[Model]
    step: Literal["train", "measure", "simulate", "retrain", "observe", "extract"]


KINDS = {
    "student-training": Kind(StudentTraining, "train"),
    "luck-speed": Kind(LuckSpeed, "train"),
    "rank-profile": Kind(RankProfile, "measure"),
    "modulation": Kind(GradientMeasurement, "measure"),
    "gradient-rule": Kind(GradientMeasurement, "measure"),
    "lottery": Kind(Lottery, "retrain"),
    "co-activation": Kind(CoActivation, "observe"),
    "bn-bias": Kind(BnBias, "extract"),
    "fan-out": Kind(FanOut, "simulate"),
    "two-nodes": Kind(TwoNodes, "simulate"),
    "decision-lines": Kind(DecisionLines, "simulate"),
}


@dataclass(frozen=True)
class Layout:
    """A layout of figures, a module of luckmatters.figures.layouts.

    kind: of the experiments that it draws; options: of the figure that it cannot do without; single: whether it draws
    one variant alone; tensors: whether it draws what jobs leave beside their tables; animated: whether it also makes
    an animation (``animate``).
    """

    kind: str
    options: tuple[str, ...] = ()
    single: bool = False
    tensors: bool = False
    animated: bool = False


LAYOUTS = {
    "overlap-curves": Layout("student-training"),
    "overlap-grid": Layout("student-training", options=("columns",)),
    "rank-profile": Layout("rank-profile"),
    "luck-speed": Layout("luck-speed", single=True),
    "modulation": Layout("modulation", single=True, tensors=True),
    "gradient-rule": Layout("gradient-rule", single=True, tensors=True),
    "lottery-curves": Layout("lottery", options=("columns",)),
    "lottery-sparsity": Layout("lottery", options=("columns",)),
    "lottery-luck": Layout("lottery", options=("columns",)),
    "co-activation": Layout("co-activation", tensors=True),
    "bias-histograms": Layout("bn-bias"),
    "bias-shares": Layout("bn-bias"),
    "fan-out": Layout("fan-out", options=("rows",), tensors=True),
    "two-nodes": Layout("two-nodes"),
    "decision-lines": Layout("decision-lines", tensors=True, animated=True),
}
MOST_COMPARED = 3  # labels that share a panel: there are no more line styles that can be told apart


class Figure(Model):
    """How an experiment is drawn: the layout is a module of luckmatters.figures, the rest its options.

    rows, columns: axes of the grid whose labels are the rows and columns of panels; compare: an axis whose labels share
    panels, told apart by line style; labels: how labels of the grid are written in the figure; included_first: whether
    included variants stand above the experiment's own; band: what is shaded around the mean over seeds (their range, or
    one standard deviation); published: file of data/published for a variant;
    published_note: said in the figure's footer, where the settings are not known to be the same.
    """

    layout: Name
    rows: Name | None = None
    columns: Name | None = None
    compare: Name | None = None
    labels: dict[Name, str] = {}
    included_first: bool = False
    band: Literal["range", "std"] = "range"
    published: dict[str, str] = {}
    published_note: str = ""


class Include(Model):
    """A variant of another experiment, drawn and judged with this one's under these labels; never trained twice."""

    run: Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]
    labels: dict[Name, Name]


class Experiment(Model):
    """The keys of config/experiments/*.yaml that are the same for every kind."""

    question: str
    published_as: str
    kind: Name
    figure: Figure
    claims: list[Name] = []
    known: list[str] = []
    chosen: list[str] = []
    grid: dict[Name, dict[Name, dict]] = {}
    adjust: dict[Name, dict] = {}
    skip: list[Name] = []
    seeds_per_job: Positive | None = None
    includes: list[Include] = []
    scales: dict[Name, dict] = {}


class Scale(Model):
    """config/scales/*.yaml."""

    purpose: str
    cifar10_default: Literal["torchvision", "synthetic"]
    cifar10_limit: Annotated[int, Field(ge=10)] | None
    weights_default: Literal["torchvision", "published"]
    seeds_per_job: Positive
    threads_per_job: Positive
    checkpoint_seconds: Annotated[float, Field(ge=0)]


class Amendment(Model):
    """A change of a check after results were seen; stricter: whether it is harder to support since (None: neither)."""

    what: str
    why: str
    stricter: bool | None


class Check(Model):
    """One threshold of a claim: it supports the paper if the whole interval of the effect lies above it.

    role: core if the claim's sentence stands or falls with it; the others are no part of the verdict; published: what
    the paper's own curves say of it, where that is not what the check asks.
    """

    statement: str
    role: Role
    threshold: float
    reason: str
    amended: list[Amendment] = []
    published: str | None = None


class Claim(Model):
    """One entry of config/claims.yaml."""

    statement: str
    source: str
    experiments: Annotated[list[Name], Field(min_length=1)]
    statistic: str
    checks: dict[Name, Check]
    min_seeds: Annotated[int, Field(ge=2)]
    scales: Annotated[list[Name], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_a_core(self) -> "Claim":
        if not self.core:
            raise ValueError("checks: none has the role core, by which the verdict goes; give it to one")
        return self

    @property
    def core(self) -> list[str]:
        """The checks that the verdict goes by."""
        return [name for name, check in self.checks.items() if check.role == "core"]


class Run(Model):
    """One variant of an experiment at a scale, fully resolved: all that its numbers depend on.

    source: the training run that is measured, whose teacher and seeds are this run's; teacher: None where the kind has
    none in config/teachers.yaml.
    """

    experiment: Name
    variant: Name
    scale: Name
    kind: str
    labels: dict[str, str]
    settings: SerializeAsAny[Model]
    teacher: Teacher | None
    seeds: list[int]
    source: "Run | None" = None

    @property
    def step(self) -> str:
        """The verb and the rule that run its jobs."""
        return KINDS[self.kind].step

    @property
    def trained(self) -> "Run":
        """The training run behind this one, or itself."""
        return self.source or self

    @property
    def student_widths(self) -> list[int]:
        """Nodes of the students' layers, the output layer last."""
        multiplier = self.trained.settings.student.multiplier
        return [*(multiplier * width for width in self.teacher.widths), self.teacher.outputs]
