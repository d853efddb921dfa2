"""Kind ``lottery``: what its YAML may say."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from luckmatters.kinds import Kind, Layout
from luckmatters.kinds.lottery.branches import names
from luckmatters.science.shapes import scaled
from luckmatters.settings.base import Model, Positive
from luckmatters.settings.students import Measurement, StudentTraining
from luckmatters.settings.teachers import Teacher


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


def check_branch(name: str) -> str:
    if name not in names():
        raise ValueError(f"must be {', '.join(map(repr, names()[:-1]))} or {names()[-1]!r}")
    return name


BranchName = Annotated[str, AfterValidator(check_branch)]


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


KIND = Kind(
    Lottery,
    verb="retrain",
    layouts={
        "lottery-curves": Layout(options=("columns",)),
        "lottery-sparsity": Layout(options=("columns",)),
        "lottery-luck": Layout(options=("columns",)),
    },
)
