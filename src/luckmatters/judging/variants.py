"""The variants of an experiment that a check is about, chosen by the settings of runs, not by names."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from luckmatters.settings.experiment import Run
from luckmatters.tables.results import Results


@dataclass(frozen=True)
class Variants:
    """The variants whose run passes a test.

    text: the test in words; single: whether exactly one variant must pass.
    """

    text: str
    test: Callable[[Run], bool]
    single: bool = False

    def __call__(self, run: Run) -> bool:
        """Whether a run passes the test."""
        return self.test(run)

    def __and__(self, other: "Variants") -> "Variants":
        """The variants that pass both tests."""
        return Variants(f"{self.text}, {other.text}", lambda run: self(run) and other(run))


def one(variants: Variants) -> Variants:
    """Variants with the requirement that exactly one variant passes."""
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
    """Students of a teacher in config/teachers.yaml."""
    return Variants(f"teacher {name}", lambda run: run.trained.settings.teacher.name == name)


def this(results: Results, variant: str) -> Variants:
    """A single variant by name, for figures whose layout names variants."""
    own = results.runs[variant]
    return Variants(variant, lambda run: (run.experiment, run.variant) == (own.experiment, own.variant), single=True)
