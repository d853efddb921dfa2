"""What decides a check: a function of an experiment's results, registered under the names of claim and check."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from luckmatters.judging.statistics import Effect
from luckmatters.judging.variants import Variants
from luckmatters.tables.results import Results


@dataclass(frozen=True)
class Evidence:
    """The function behind a check of a claim, the experiment whose results it takes, and its other arguments.

    needs: variants that the experiment must have at every scale that judges the claim, besides those among the
    arguments.
    """

    claim: str
    check: str
    experiment: str
    measure: Callable[..., Effect]
    arguments: Mapping[str, object]
    needs: tuple[Variants, ...]

    def __call__(self, results: Results) -> Effect:
        """The effect. Raises LacksDataError if the results are too few or too short for it."""
        return self.measure(results, **self.arguments)

    @property
    def variants(self) -> list[Variants]:
        """All variants that the experiment must have."""
        return [*self.needs, *(one for one in self.arguments.values() if isinstance(one, Variants))]


def evidence(
    claim: str, check: str, experiment: str, measure: Callable[..., Effect], *, needs: tuple[Variants, ...] = (),
    **arguments: object,
) -> Evidence:  # fmt: skip
    """A check's evidence: ``measure(results, **arguments)``."""
    return Evidence(claim, check, experiment, measure, arguments, needs)
