"""Kinds of experiments, a folder each: the modules that a folder provides, and the registry of all kinds.

- ``settings.py`` has KIND: the keys of the YAML and the layouts of figures. It imports no torch.
- ``run.py`` computes. It has the functions of the protocol of the kind's verb.
- ``figure.py`` draws, or ``figures/`` with a module a layout.
- ``claims.py`` has EVIDENCE, the functions that judge. A kind without claims has no such module.

The name of a kind is the name of the folder, with hyphens for underscores.
"""

import ast
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, get_args

from luckmatters.dependencies import file_of
from luckmatters.errors import UserError
from luckmatters.settings.base import Model, Verb

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from torch import Tensor

    from luckmatters.judging.evidence import Evidence
    from luckmatters.learning.data import Data
    from luckmatters.science.networks import Networks
    from luckmatters.settings.experiment import Experiment, Run
    from luckmatters.tables.history import Result, TrainingState
    from luckmatters.tables.results import Results


@dataclass(frozen=True)
class Layout:
    """A layout of figures.

    options: the keys of ``figure`` that the layout needs.
    single: whether the layout draws a single variant.
    tensors: whether the layout draws the tensors of jobs, not their tables alone.
    animated: whether the layout also makes an animation.
    whole: whether the layout compares variants, so that all of them are needed.
    """

    options: tuple[str, ...] = ()
    single: bool = False
    tensors: bool = False
    animated: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of experiment: the model of the settings, the verb that runs jobs, the layouts by name.

    measurable: whether finished runs hold students at snapshots, which measuring and pruning need.
    hindsight: where students are trained, quantities that are known at the end of a run alone, as patterns
    (``time_*``). All others are the same at an epoch, whether the run ends there or goes on.
    """

    settings: type[Model]
    verb: Verb
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    measurable: bool = False
    hindsight: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.verb not in get_args(Verb):
            raise UserError(
                f"{self.settings.__module__}: no such verb {self.verb!r}; allowed: {', '.join(get_args(Verb))}"
            )


# --- the functions of run.py, by verb ---------------------------------------------------------------------------------


class Resumable(Protocol):
    """Jobs that run epoch by epoch and can be resumed."""

    def last(self, run: "Run") -> int:
        """The last epoch."""

    def finish(self, run: "Run", seeds: Sequence[int], state: "TrainingState") -> "Result":
        """The table and tensors of a finished job."""


class Trains(Resumable, Protocol):
    """``train``: train students, from a file of teachers and samples."""

    def train(
        self, run: "Run", teachers: "Networks", data: "Data", seeds: Sequence[int], *, device: str,
        resume: "TrainingState | None",
    ) -> "Iterator[TrainingState]":  # fmt: skip
        """Yield the state after every epoch, the initial state first; resume: a state yielded earlier."""


class Retrains(Resumable, Protocol):
    """``retrain``: train the students of a finished training run (tensors) again."""

    def retrain(
        self, run: "Run", teachers: "Networks", data: "Data", tensors: "dict[str, Tensor]", seeds: Sequence[int], *,
        device: str, resume: "TrainingState | None",
    ) -> "Iterator[TrainingState]":  # fmt: skip
        """Yield the state after every epoch, the initial state first; resume: a state yielded earlier."""


class Simulates(Resumable, Protocol):
    """``simulate``: follow dynamics that need no file of teachers and no data set."""

    def simulate(
        self, run: "Run", seeds: Sequence[int], *, device: str, resume: "TrainingState | None"
    ) -> "Iterator[TrainingState]":
        """Yield the state after every epoch, the initial state first; resume: a state yielded earlier."""

    def describe(self, run: "Run") -> str:
        """The samples, for captions."""


class Measures(Protocol):
    """``measure``: measure the students of a finished training run (tensors), in a single call."""

    def measure(
        self, run: "Run", teachers: "Networks", data: "Data", tensors: "dict[str, Tensor]", seeds: Sequence[int]
    ) -> "Result":
        """The table and tensors of the job."""


class Observes(Protocol):
    """``observe``: observe teachers on samples, in a single call."""

    def data_source(self, settings: Model, shape: Sequence[int], images: "dict[str, Tensor] | None") -> "Data":
        """The samples that teachers are observed on."""

    def observe(self, run: "Run", teachers: "Networks", data: "Data", seeds: Sequence[int]) -> "Result":
        """The table and tensors of the job."""


class Extracts(Protocol):
    """``extract``: tabulate the BatchNorm of a pretrained network, in a single call."""

    def tabulate(self, norms: "pd.DataFrame | None", published: "Sequence[pd.DataFrame]") -> "pd.DataFrame":
        """The table of the job."""


PROTOCOLS: dict[Verb, type] = {
    "train": Trains, "retrain": Retrains, "simulate": Simulates,
    "measure": Measures, "observe": Observes, "extract": Extracts,
}  # fmt: skip
assert tuple(PROTOCOLS) == get_args(Verb)


class Draws(Protocol):
    """The module of a layout.

    Where the layout draws tensors, the module may have ``drawn(jobs)``: of the tensors of each job, by name, the parts
    that the figure draws. No other parts are kept in data/kept. Where the layout is animated, the module also has
    ``animate(results)``. It returns a figure, a function that draws the frame of a given number, and the number of
    frames.
    """

    def draw(self, results: "Results", published: "Mapping[str, pd.DataFrame]") -> "Figure":
        """The figure of an experiment."""


# --- the registry ----------------------------------------------------------------------------------------------------


@cache
def registry() -> dict[str, Kind]:
    """Every kind, by name."""
    folders = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    return {_name(folder): _attribute(f"kinds.{folder}.settings", "KIND") for folder in folders}


def _attribute(name: str, attribute: str) -> object:
    """What a module below the package is there for. Raises UserError if the module or the attribute is missing."""
    if not importlib.util.find_spec(f"luckmatters.{name}"):
        raise UserError(f"luckmatters.{name}: is missing; docs/extending.md says what the folder of a kind holds")
    if not hasattr(module := load(name), attribute):
        raise UserError(f"luckmatters.{name}: has no {attribute}; docs/extending.md says what the module holds")
    return getattr(module, attribute)


@cache
def layouts() -> dict[str, tuple[str, Layout]]:
    """Every layout of figures, by name: the kind and the description."""
    return {name: (kind, layout) for kind, entry in registry().items() for name, layout in entry.layouts.items()}


def draws_tensors(experiment: "Experiment") -> bool:
    """Whether an experiment's layout draws the tensors of jobs, not their tables alone."""
    return layouts()[experiment.figure.layout][1].tensors


def verb(run: "Run") -> Verb:
    """The verb that runs a run's jobs."""
    return registry()[run.kind].verb


def run_name(kind: str) -> str:
    """The name below the package of the module that computes: ``kinds.two_nodes.run``."""
    return f"kinds.{_folder(kind)}.run"


def figure_name(layout: str) -> str:
    """The name below the package of the module that draws a layout.

    ``kinds.two_nodes.figure`` where the kind has a single layout, else ``kinds.lottery.figures.lottery_luck``.
    """
    kind, _ = layouts()[layout]
    folder = f"kinds.{_folder(kind)}"
    return f"{folder}.figure" if [layout] == [*registry()[kind].layouts] else f"{folder}.figures.{_folder(layout)}"


def claims_names() -> list[str]:
    """The names below the package of all modules of claims."""
    names = (f"kinds.{_folder(kind)}.claims" for kind in registry())
    return [name for name in names if importlib.util.find_spec(f"luckmatters.{name}")]


def evidence() -> "dict[str, dict[str, Evidence]]":
    """The evidence of every check: claim → check → evidence. Raises UserError if a check has more than one evidence."""
    by_claim: dict = {}
    for name in claims_names():
        for item in _attribute(name, "EVIDENCE"):
            if item.check in by_claim.setdefault(item.claim, {}):
                raise UserError(f"{name}: claim {item.claim}, check {item.check}: has evidence already")
            by_claim[item.claim][item.check] = item
    return by_claim


def check_folders() -> None:
    """Raises UserError if a kind lacks a module, or a function that its verb or a layout needs.

    The source is read, not imported: what computes imports torch, which takes two seconds.
    """
    for kind, entry in registry().items():
        needed = {run_name(kind): _methods(entry.verb)}
        for layout, description in entry.layouts.items():
            needed[figure_name(layout)] = ["draw", *["animate"] * description.animated]
        for name, functions in needed.items():
            if not (path := file_of(name)).exists():
                raise UserError(f"luckmatters.{name}: is missing, and kind {kind} needs it")
            nodes = ast.parse(path.read_text(encoding="utf-8")).body
            defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
            if lacking := [function for function in functions if function not in defined]:
                raise UserError(f"luckmatters.{name}: lacks {', '.join(lacking)}, which kind {kind} needs")


def _methods(verb: Verb) -> list[str]:
    return [name for name in dir(PROTOCOLS[verb]) if not name.startswith("_")]


def runner(run: "Run") -> ModuleType:
    """The module that computes a run. Raises UserError if it lacks what its verb needs: before training, not after."""
    module = load(run_name(run.kind))
    if lacking := [name for name in _methods(verb(run)) if not hasattr(module, name)]:
        raise UserError(f"{module.__name__}: lacks {', '.join(lacking)}, which the verb {verb(run)} needs")
    return module


def load(name: str) -> ModuleType:
    """Import a module by the name below the package."""
    return importlib.import_module(f"luckmatters.{name}")


def _name(folder: str) -> str:
    return folder.replace("_", "-")


def _folder(name: str) -> str:
    return name.replace("-", "_")
