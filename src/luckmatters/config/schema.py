"""The keys of every configuration file, their types and their limits. Unknown keys are refused."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
Name = Annotated[str, Field(pattern=NAME)]  # safe as a folder name, a wildcard and a key
Positive = Annotated[int, Field(gt=0)]
Verdict = Literal["supported", "partly", "not supported", "not judged at this scale", "not run"]


class Model(BaseModel):
    """Strict: no unknown keys, no silent conversion of a string to a number, nothing changed after checking."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Settings(Model):
    """config/config.yaml."""

    scale: Name
    device: Literal["cpu", "cuda"]
    results: str
    figures: str


class Teacher(Model):
    """One entry of config/teachers.yaml."""

    inputs: Positive
    widths: Annotated[list[Positive], Field(min_length=1)]
    outputs: Positive
    init: Literal["separated", "no_sep"]
    count: Positive

    @model_validator(mode="after")
    def _rows_can_differ(self) -> "Teacher":
        if self.init == "separated":
            for fan_in, nodes in zip([self.inputs, *self.widths], [*self.widths, self.outputs], strict=True):
                if nodes > 5**fan_in - 1:
                    raise ValueError(f"{nodes} separated nodes cannot all differ with {fan_in} inputs; use fewer")
        return self


class TeacherChoice(Model):
    """Which teacher labels the data: one for all students (``seed: 0``), or student k's own (``seed: own``)."""

    name: Name
    seed: Annotated[int, Field(ge=0)] | Literal["own"]


class Student(Model):
    """The teacher's shape with ``multiplier`` times the nodes in each hidden layer."""

    multiplier: Positive
    batch_norm: bool


class GausData(Model):
    """x ~ N(0, std² I)."""

    kind: Literal["gaus"]
    std: Annotated[float, Field(gt=0)]
    samples_per_epoch: Positive
    infinite: bool
    evaluation_samples: Annotated[int, Field(ge=2)]


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
    """Plain SGD."""

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


def _seeds(value: object) -> object:
    """Said in one sentence, since a union of types would give one fault for each of its members."""
    whole = [one for one in (value if isinstance(value, list) else [value]) if type(one) is int]
    listed = isinstance(value, list) and 0 < len(value) == len(set(whole)) and min(whole) >= 0
    if not listed and not (type(value) is int and value > 0):
        raise ValueError("must be a number of seeds, 1 or more, or a list of different seeds, each 0 or more")
    return value


Seeds = Annotated[int | list[int], BeforeValidator(_seeds)]


class StudentTraining(Model):
    """Settings of the kind ``student-training``: train students to a teacher and measure the overlap every epoch."""

    teacher: TeacherChoice
    student: Student
    data: GausData
    training: Training
    seeds: Seeds

    @model_validator(mode="after")
    def _batches_have_a_spread(self) -> "StudentTraining":
        if self.student.batch_norm and self.data.samples_per_epoch % self.training.batch == 1:
            raise ValueError(
                f"the last batch would hold one sample, which BatchNorm cannot normalize: samples_per_epoch "
                f"{self.data.samples_per_epoch}, batch {self.training.batch}; change one of them"
            )
        return self


class RankProfile(Model):
    """Settings of the kind ``rank-profile``: the best students of each teacher node in the runs of an experiment."""

    measures: Name
    students: Positive


KINDS: dict[str, type[Model]] = {"student-training": StudentTraining, "rank-profile": RankProfile}


# Which kind of experiment a layout draws, and which options it cannot do without.
LAYOUTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "overlap-curves": ("student-training", ()),
    "overlap-grid": ("student-training", ("rows", "columns")),
    "rank-profile": ("rank-profile", ()),
}


class Figure(Model):
    """How an experiment is drawn: the layout is a module of luckmatters.figures, the rest its options.

    rows, columns: axes of the grid whose labels are the rows and columns of panels; band: what is shaded around the
    mean over seeds (their range, or one standard deviation); published: file of data/published for a variant;
    published_note: said in the figure's footer, where the settings are not known to be the same.
    """

    layout: Name
    rows: Name | None = None
    columns: Name | None = None
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
    kind: Literal["student-training", "rank-profile"]
    figure: Figure
    claims: list[Name] = []
    known: list[str] = []
    chosen: list[str] = []
    grid: dict[Name, dict[Name, dict]] = {}
    skip: list[Name] = []
    seeds_per_job: Positive | None = None
    includes: list[Include] = []
    scales: dict[Name, dict] = {}


class Scale(Model):
    """config/scales/*.yaml."""

    purpose: str
    seeds_per_job: Positive
    threads_per_job: Positive
    checkpoint_seconds: Annotated[float, Field(ge=0)]


class Check(Model):
    """One threshold of a claim: it holds if the whole interval of the effect lies above it."""

    statement: str
    threshold: float
    reason: str


class Claim(Model):
    """One entry of config/claims.yaml."""

    statement: str
    source: str
    experiments: Annotated[list[Name], Field(min_length=1)]
    statistic: str
    checks: Annotated[dict[Name, Check], Field(min_length=1)]
    min_seeds: Annotated[int, Field(ge=2)]
    scales: Annotated[list[Name], Field(min_length=1)]


class Run(Model):
    """One variant of an experiment at a scale, fully resolved: all that its numbers depend on."""

    experiment: Name
    variant: Name
    scale: Name
    kind: str
    labels: dict[str, str]
    settings: StudentTraining | RankProfile
    teacher: Teacher | None
    seeds: list[int]
    source: str | None = None
