"""Kind ``flat-minima``: the settings, the verb and the layouts of figures."""

from typing import Annotated

from pydantic import Field

from luckmatters.kinds import Kind, Layout
from luckmatters.settings.base import Model, Positive
from luckmatters.settings.students import Measurement, StudentTraining
from luckmatters.settings.teachers import Teacher


class Spectrum(Model):
    """How the spectrum of the loss's Hessian is estimated, by stochastic Lanczos quadrature."""

    steps: int = Field(ge=2, description="Number of products with the Hessian for each random start.")
    starts: Positive = Field(description="Number of random starts.")
    near_zero: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        min_length=1, description="Shares of the greatest eigenvalue below which an eigenvalue is near zero."
    )


class FlatMinima(Measurement):
    """Settings of the kind ``flat-minima``: change students' weights, and measure what becomes of output and loss."""

    early_epoch: int = Field(
        ge=0, description="The earlier epoch, 0 or an epoch that the training run lists in `snapshots`."
    )
    samples: int = Field(ge=2, description="Number of evaluation samples that means are taken over.")
    radii: list[Annotated[float, Field(gt=0)]] = Field(
        min_length=1, description="Lengths of the changes of a node's fan-in, in lengths of the fan-in itself."
    )
    directions: Positive = Field(description="Number of random directions.")
    spectrum: Spectrum = Field(description="How the Hessian's spectrum is estimated.")

    def check_source(self, trained: StudentTraining, teacher: Teacher) -> None:
        """Raises ValueError if that run lacks the snapshot or has too few samples, or if it learns from labels."""
        if self.early_epoch not in {0, *trained.training.snapshots} - {trained.training.epochs}:
            raise ValueError(
                f"early_epoch: {self.source} keeps no epoch {self.early_epoch} before the last; "
                "add it to training.snapshots there"
            )
        if self.samples > trained.data.evaluation_samples:
            raise ValueError(
                f"samples: {self.samples} are more than the {trained.data.evaluation_samples} that {self.source} is "
                "evaluated on; use fewer"
            )
        if trained.target == "labels":
            raise ValueError(f"source: {self.source} learns from labels; choose a run that learns a teacher's outputs")


KIND = Kind(FlatMinima, verb="measure", layouts={"flat-minima": Layout(options=("columns",), whole=True)})
