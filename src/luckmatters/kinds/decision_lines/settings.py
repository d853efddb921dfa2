"""Kind ``decision-lines``: the settings, the verb and the layouts of figures."""

from typing import Annotated

from pydantic import Field, model_validator

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.base import Positive
from luckmatters.settings.simulation import Simulation


class DecisionLines(Simulation):
    """Settings of the kind ``decision-lines``: where the nodes of small networks on two inputs switch on."""

    teacher_nodes: Positive = Field(description="Number of hidden nodes of the teacher.")
    students: Positive = Field(description="Number of hidden nodes of the student network.")
    outputs: Positive = Field(description="Number of outputs of teacher and student network.")
    std: float = Field(gt=0, description="Standard deviation of every input.")
    snapshots: list[Annotated[int, Field(ge=0)]] = Field(
        min_length=1, description="Epochs that are drawn; 0 is before training."
    )

    @model_validator(mode="after")
    def _within_the_run(self) -> "DecisionLines":
        for epoch in self.snapshots:
            if epoch > self.epochs:
                raise ValueError(f"snapshots: epoch {epoch} lies after the last one, {self.epochs}")
        for n_in, n_out in ((2, self.teacher_nodes), (self.teacher_nodes, self.outputs)):
            if n_out > 5**n_in - 1:
                raise ValueError(f"{n_out} separated nodes cannot all differ with {n_in} inputs; use fewer")
        return self


KIND = Kind(
    DecisionLines,
    verb="simulate",
    layouts={
        "decision-lines": Layout(tensors=True, animated=True),
    },
)
