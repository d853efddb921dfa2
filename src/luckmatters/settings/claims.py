"""The keys of config/claims.yaml."""

from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from luckmatters.settings.base import Model, Name

Verdict = Literal["supported", "mixed", "contradicted", "undecided", "not judged at this scale", "not run"]


Role = Literal["core", "refinement", "control", "exploratory"]


class Amendment(Model):
    """A change of a check after results were seen; stricter: whether it is harder to support since (None: neither)."""

    what: str
    why: str
    stricter: bool | None


class Check(Model):
    """One threshold of a claim: it supports the paper if the whole interval of the effect lies above it.

    role: core if the claim's sentence stands or falls with it; the others are no part of the verdict; published: what
    the paper's own curves say of it, where that is not what the check asks.
    """

    statement: str
    role: Role
    threshold: float
    reason: str
    amended: list[Amendment] = []
    published: str | None = None


class Claim(Model):
    """One entry of config/claims.yaml."""

    statement: str
    source: str
    experiments: Annotated[list[Name], Field(min_length=1)]
    statistic: str
    checks: dict[Name, Check]
    min_seeds: Annotated[int, Field(ge=2)]
    scales: Annotated[list[Name], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_a_core(self) -> "Claim":
        if not self.core:
            raise ValueError("checks: none has the role core, by which the verdict goes; give it to one")
        return self

    @property
    def core(self) -> list[str]:
        """The checks that the verdict goes by."""
        return [name for name, check in self.checks.items() if check.role == "core"]
