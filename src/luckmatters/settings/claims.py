"""The keys of config/claims.yaml."""

from typing import Literal

from pydantic import Field, model_validator

from luckmatters.settings.base import Model, Name

Verdict = Literal["supported", "mixed", "contradicted", "undecided", "not judged at this scale", "not run"]


Role = Literal["core", "refinement", "control", "exploratory"]


class Amendment(Model):
    """A change of a check after results were seen."""

    what: str = Field(description="What was changed.")
    why: str = Field(description="Why it was changed.")
    stricter: bool | None = Field(
        description="Whether the check is harder to support since the change; `null` if neither harder nor easier."
    )


class Check(Model):
    """One threshold of a claim: it supports the paper if the whole interval of the effect lies above it."""

    statement: str = Field(description="What the check asks, in one sentence.")
    role: Role = Field(description="The verdict goes by the `core` checks alone; the others are shown beside them.")
    threshold: float = Field(description="What the effect must exceed; in the unit of the effect.")
    reason: str = Field(description="Why this threshold; written before the first results of the check.")
    amended: list[Amendment] = Field([], description="Changes after results were seen.")
    published: str | None = Field(
        None, description="What the paper's own curves say, where they do not say what the check asks."
    )


class Claim(Model):
    """One entry of config/claims.yaml, under its name."""

    statement: str = Field(description="The claim, in one or two sentences.")
    source: str = Field(description="Where the paper or the first author's article makes the claim.")
    experiments: list[Name] = Field(min_length=1, description="The experiments whose tables the claim is judged from.")
    statistic: str = Field(description="How the effects of the checks are computed from the tables.")
    checks: dict[Name, Check] = Field(description="The checks by name; one or more must have the role `core`.")
    min_seeds: int = Field(ge=2, description="The smallest number of seeds that may decide a check.")
    scales: list[Name] = Field(min_length=1, description="The scales that may judge the claim; others give no verdict.")

    @model_validator(mode="after")
    def _has_a_core(self) -> "Claim":
        if not self.core:
            raise ValueError("checks: none has the role core, by which the verdict goes; give it to one")
        return self

    @property
    def core(self) -> list[str]:
        """The checks that the verdict goes by."""
        return [name for name, check in self.checks.items() if check.role == "core"]
