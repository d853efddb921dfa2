"""What all models of settings share. Imports no torch."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
RUN = r"^[a-z0-9-]+/[a-z0-9-]+$"

Name = Annotated[str, Field(pattern=NAME)]  # safe as a folder name, a wildcard and a key
RunName = Annotated[str, Field(pattern=RUN)]  # experiment/variant
Positive = Annotated[int, Field(gt=0)]
Verb = Literal["train", "retrain", "simulate", "measure", "observe", "extract"]  # steps that run the jobs of a kind


class Model(BaseModel):
    """Strict: no unknown keys, no silent conversion of a string to a number, nothing changed after checking.

    Every field has a description, from which `luckmatters configuration` writes docs/configuration.md.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def check_seeds(value: object) -> object:
    """Said in one sentence, since a union of types would give one fault for each of its members."""
    whole = [one for one in (value if isinstance(value, list) else [value]) if type(one) is int]
    listed = isinstance(value, list) and 0 < len(value) == len(set(whole)) and min(whole) >= 0
    if not listed and not (type(value) is int and value > 0):
        raise ValueError("must be a number of seeds, 1 or more, or a list of different seeds, each 0 or more")
    return value


Seeds = Annotated[
    int | list[int],
    BeforeValidator(check_seeds),
    Field(description="Number of seeds (1 or more), or a list of different seeds (each 0 or more)."),
]
