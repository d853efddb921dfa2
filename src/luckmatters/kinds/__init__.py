"""Kinds of experiments, a folder each: what every folder provides, and the registry that finds them.

A folder has ``settings.py`` (KIND: what YAML may say and which figures there are; imports no torch), ``run.py``
(computes, by the protocol of its verb), ``figure.py`` or one module a layout in ``figures/`` (draws), and, if a claim
needs the kind, ``claims.py`` (EVIDENCE: judges). The folder's name is the kind's, with hyphens for underscores.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, get_args

from luckmatters.errors import UserError
from luckmatters.settings.base import Model, Verb

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from torch import Tensor

    from luckmatters.judging.evidence import Evidence
    from luckmatters.learning.data import Data
    from luckmatters.science.networks import Networks
    from luckmatters.settings.experiment import Run
    from luckmatters.tables.history import Result, TrainingState
    from luckmatters.tables.results import Results


@dataclass(frozen=True)
class Layout:
    """A layout of figures.

    options: of the figure, which it cannot do without; single: draws one variant alone; tensors: draws what jobs leave
    beside their tables; animated: also makes an animation.
    """

    options: tuple[str, ...] = ()
    single: bool = False
    tensors: bool = False
    animated: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of experiment: the model of its settings, the verb that runs its jobs, its layouts by name.

    measurable: whether its finished runs hold what measuring and pruning need, students at their snapshots.
    """

    settings: type[Model]
    verb: Verb
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    measurable: bool = False

    def __post_init__(self) -> None:
        if self.verb not in get_args(Verb):
            raise UserError(
                f"{self.settings.__module__}: no such verb {self.verb!r}; allowed: {', '.join(get_args(Verb))}"
            )


# --- what run.py provides, by verb -----------------------------------------------------------------------------------


class Resumable(Protocol):
    """Jobs that go epoch by epoch and can be resumed."""

    def last(self, run: "Run") -> int:
        """The last epoch."""

    def finish(self, run: "Run", seeds: Sequence[int], state: "TrainingState") -> "Result":
        """The table and tensors of a finished job."""


class Trains(Resumable, Protocol):
    """``train``: students, from a file of teachers and samples."""

    def train(
        self, run: "Run", teachers: "Networks", data: "Data", seeds: Sequence[int], *, device: str,
        resume: "TrainingState | None",
    ) -> "Iterator[TrainingState]":  # fmt: skip
        """Yield the state after every epoch, the initial one first; resume: a state yielded earlier."""


class Retrains(Resumable, Protocol):
    """``retrain``: what a finished training run has left (tensors), again."""

    def retrain(
        self, run: "Run", teachers: "Networks", data: "Data", tensors: "dict[str, Tensor]", seeds: Sequence[int], *,
        device: str, resume: "TrainingState | None",
    ) -> "Iterator[TrainingState]":  # fmt: skip
        """Yield the state after every epoch, the initial one first; resume: a state yielded earlier."""


class Simulates(Resumable, Protocol):
    """``simulate``: dynamics that need no file of teachers and no data set."""

    def simulate(
        self, run: "Run", seeds: Sequence[int], *, device: str, resume: "TrainingState | None"
    ) -> "Iterator[TrainingState]":
        """Yield the state after every epoch, the initial one first; resume: a state yielded earlier."""

    def describe(self, run: "Run") -> str:
        """The samples, for captions."""


class Measures(Protocol):
    """``measure``: what a finished training run has left (tensors), in one go."""

    def measure(
        self, run: "Run", teachers: "Networks", data: "Data", tensors: "dict[str, Tensor]", seeds: Sequence[int]
    ) -> "Result":
        """The table and tensors of the job."""


class Observes(Protocol):
    """``observe``: teachers, on samples, in one go."""

    def data_source(self, settings: Model, shape: Sequence[int], images: "dict[str, Tensor] | None") -> "Data":
        """The samples that teachers are observed on."""

    def observe(self, run: "Run", teachers: "Networks", data: "Data", seeds: Sequence[int]) -> "Result":
        """The table and tensors of the job."""


class Extracts(Protocol):
    """``extract``: the BatchNorm of a pretrained network, in one go."""

    def tabulate(self, norms: "pd.DataFrame | None", published: "Sequence[pd.DataFrame]") -> "pd.DataFrame":
        """The table of the job."""


PROTOCOLS: dict[Verb, type] = {
    "train": Trains, "retrain": Retrains, "simulate": Simulates,
    "measure": Measures, "observe": Observes, "extract": Extracts,
}  # fmt: skip
assert tuple(PROTOCOLS) == get_args(Verb)


class Draws(Protocol):
    """A module of a layout; ``animate(results)``, where the layout is animated, gives a figure, a function that draws
    the frame of a number, and the number of frames."""

    def draw(self, results: "Results", published: "Mapping[str, pd.DataFrame]") -> "Figure":
        """The figure of an experiment."""


# --- the registry ----------------------------------------------------------------------------------------------------


@cache
def registry() -> dict[str, Kind]:
    """Every kind, by name."""
    folders = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    return {_name(folder): importlib.import_module(f"{__name__}.{folder}.settings").KIND for folder in folders}


@cache
def layouts() -> dict[str, tuple[str, Layout]]:
    """Every layout of figures, by name: its kind and its description."""
    return {name: (kind, layout) for kind, one in registry().items() for name, layout in one.layouts.items()}


def verb(run: "Run") -> Verb:
    """The verb that runs a run's jobs."""
    return registry()[run.kind].verb


def run_name(kind: str) -> str:
    """The module that computes, by its name below the package: ``kinds.two_nodes.run``."""
    return f"kinds.{_folder(kind)}.run"


def figure_name(layout: str) -> str:
    """The module that draws a layout, likewise: ``kinds.two_nodes.figure``, ``kinds.lottery.figures.lottery_luck``."""
    kind, _ = layouts()[layout]
    folder = f"kinds.{_folder(kind)}"
    return f"{folder}.figure" if [layout] == [*registry()[kind].layouts] else f"{folder}.figures.{_folder(layout)}"


def claims_names() -> list[str]:
    """The modules of claims, by their names below the package."""
    names = (f"kinds.{_folder(kind)}.claims" for kind in registry())
    return [name for name in names if importlib.util.find_spec(f"luckmatters.{name}")]


def evidence() -> "dict[str, dict[str, Evidence]]":
    """What decides checks: claim → check → evidence. Raises UserError if a check has two."""
    found: dict = {}
    for name in claims_names():
        for one in load(name).EVIDENCE:
            if one.check in found.setdefault(one.claim, {}):
                raise UserError(f"{name}: claim {one.claim}, check {one.check}: has evidence already")
            found[one.claim][one.check] = one
    return found


def load(name: str) -> ModuleType:
    """A module by its name below the package."""
    return importlib.import_module(f"luckmatters.{name}")


def _name(folder: str) -> str:
    return folder.replace("_", "-")


def _folder(name: str) -> str:
    return name.replace("-", "_")
