"""Evidence for checks: functions of an experiment's results, with the names of claim and check."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from luckmatters.errors import UserError
from luckmatters.judging.statistics import Effect
from luckmatters.judging.variants import Variants
from luckmatters.tables.results import Results

# What the limits of an effect are: a 95 % interval over seeds, bounds of every possible value, or no limits at all.
Limits = Literal["interval", "bounds", "none"]


@dataclass(frozen=True)
class Evidence:
    """The function that decides a check of a claim, with an experiment and arguments.

    experiment: whose results the function takes.
    measure: called as ``measure(results, **arguments)``.
    needs: variants that the experiment must have at every scale that judges the claim. Variants among the arguments
    are needed too.
    limits: what the limits of the effect are, for readers of the ledger.
    unit: what the effect's ``seeds`` counts.
    """

    claim: str
    check: str
    experiment: str
    measure: Callable[..., Effect]
    arguments: Mapping[str, object]
    needs: tuple[Variants, ...]
    limits: Limits = "interval"
    unit: str = "seeds"

    def __call__(self, results: Results) -> Effect:
        """The measured effect. Raises LacksDataError if the results are too few or too short."""
        return self.measure(results, **self.arguments)

    @property
    def variants(self) -> list[Variants]:
        """All variants that the experiment must have."""
        return [*self.needs, *(value for value in self.arguments.values() if isinstance(value, Variants))]


def evidence(
    claim: str, check: str, experiment: str, measure: Callable[..., Effect], *, needs: tuple[Variants, ...] = (),
    limits: Limits = "interval", unit: str = "seeds", **arguments: object,
) -> Evidence:  # fmt: skip
    """The evidence of a check, with the arguments of `measure` as keywords."""
    try:
        inspect.signature(measure).bind(None, **arguments)
    except TypeError as error:
        raise UserError(f"evidence of {claim}/{check}: {error}; allowed: what {measure.__name__} takes") from None
    return Evidence(claim, check, experiment, measure, arguments, needs, limits, unit)
