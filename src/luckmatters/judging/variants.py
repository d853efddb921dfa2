"""Which variants of an experiment a check is about: by the settings of their runs, never by their names."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from luckmatters.settings.experiment import Run
from luckmatters.tables.results import Results


@dataclass(frozen=True)
class Variants:
    """The variants whose run passes a test; text: the test in words; single: exactly one variant must pass."""

    text: str
    test: Callable[[Run], bool]
    single: bool = False

    def __call__(self, run: Run) -> bool:
        """Whether a run passes."""
        return self.test(run)

    def __and__(self, other: "Variants") -> "Variants":
        """The variants that pass both tests."""
        return Variants(f"{self.text}, {other.text}", lambda run: self(run) and other(run))


def one(variants: Variants) -> Variants:
    """The same test, which exactly one variant must pass."""
    return replace(variants, single=True)


EVERY = Variants("all variants", lambda run: True)
NORMED = Variants("with BatchNorm", lambda run: run.trained.settings.student.batch_norm)
PLAIN = Variants("without BatchNorm", lambda run: not run.trained.settings.student.batch_norm)
CONV = Variants("convolutional", lambda run: run.teacher.kernel is not None)
FULLY_CONNECTED = Variants("fully connected", lambda run: run.teacher.kernel is None)
FINITE = Variants("finite data", lambda run: not run.trained.settings.data.infinite)
INFINITE = Variants("infinite data", lambda run: run.trained.settings.data.infinite)


def multiplier(m: int) -> Variants:
    """Students with m times the teacher's nodes."""
    return Variants(f"m = {m}", lambda run: run.trained.settings.student.multiplier == m)


def teacher(name: str) -> Variants:
    """Students of a teacher of config/teachers.yaml."""
    return Variants(f"teacher {name}", lambda run: run.trained.settings.teacher.name == name)


def this(results: Results, variant: str) -> Variants:
    """A variant by its name, for figures, whose layout names it."""
    return Variants(variant, lambda run: run is results.runs[variant], single=True)
