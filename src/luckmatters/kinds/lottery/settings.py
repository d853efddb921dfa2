"""Kind ``lottery``: the settings, the verb and the layouts of figures."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from luckmatters.kinds import Kind, Layout
from luckmatters.kinds.lottery.branches import names
from luckmatters.science.shapes import scaled
from luckmatters.settings.base import Model, Positive
from luckmatters.settings.students import Measurement, StudentTraining
from luckmatters.settings.teachers import Teacher


class Pruning(Model):
    """What is kept of trained networks."""

    granularity: Literal["nodes", "weights"] = Field(description="What is pruned: hidden nodes, or single weights.")
    criterion: Literal["magnitude", "magnitude-overall", "contribution", "overlap", "initial-overlap"] = Field(
        description="The ranking (luckmatters.science.criteria): layer by layer, or `-overall` of all layers together."
    )
    kept: float = Field(
        gt=0, description="What is left: 2 leaves as much as a network with twice the teacher's hidden widths has."
    )
    rounds: Positive = Field(description="Number of rounds of pruning; each prunes the same share of what is left.")

    @model_validator(mode="after")
    def _ranks_nodes(self) -> "Pruning":
        if self.granularity == "weights" and "overlap" in self.criterion:
            raise ValueError(f"criterion {self.criterion} ranks nodes, not weights; use another")
        return self


def check_branch(name: str) -> str:
    if name not in names():
        raise ValueError(f"must be {', '.join(map(repr, names()[:-1]))} or {names()[-1]!r}")
    return name


BranchName = Annotated[
    str, AfterValidator(check_branch), Field(json_schema_extra=lambda schema: schema.update(enum=names()))
]


class Lottery(Measurement):
    """Settings of the kind ``lottery``: prune the students of a training run, and train them again from many starts."""

    pruning: Pruning = Field(description="What is kept of the trained students.")
    branches: list[BranchName] = Field(min_length=1, description="The starts, as in luckmatters.science.tickets.")
    early_epoch: Positive | None = Field(
        None,
        description="Epoch that the branch `early` starts from; the training run must list it in `snapshots`.",
    )

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
        """Raises ValueError if the training run lacks the early snapshot, or a setting does not fit."""
        multiplier, kept = trained.student.multiplier, self.pruning.kept
        if multiplier is None:
            raise ValueError(f"source: {self.source} has student.widths; choose a run with student.multiplier")
        if self.early_epoch is not None and self.early_epoch not in trained.training.snapshots:
            raise ValueError(
                f"early_epoch: {self.source} keeps no epoch {self.early_epoch}; add it to training.snapshots there"
            )
        if kept > multiplier or min(scaled(teacher.widths, kept)) < 1:
            raise ValueError(f"pruning.kept: must leave a node in each layer and be {multiplier} at most, got {kept:g}")
        if "dense" in self.branches and kept != multiplier:
            raise ValueError(f"branches: dense needs pruning.kept {multiplier}, where nothing is pruned, got {kept:g}")
        if trained.training.normalize:
            raise ValueError(
                f"source: {self.source} keeps weights normalized, which pruned nodes without weights cannot be; choose "
                "a run without training.normalize"
            )
        if trained.student.batch_norm and self.pruning.criterion == "magnitude-overall":
            raise ValueError("pruning.criterion: magnitude-overall and BatchNorm do not go together; use another")


KIND = Kind(
    Lottery,
    verb="retrain",
    layouts={
        "lottery-curves": Layout(options=("columns",), whole=True),
        "lottery-sparsity": Layout(options=("columns",)),
        "lottery-luck": Layout(options=("columns",), whole=True),
    },
)
