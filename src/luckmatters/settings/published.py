"""The keys of config/published.yaml."""

from typing import Literal

from pydantic import Field

from luckmatters.settings.base import Model, Positive, RunName


class Cause(Model):
    """Why curves of a run depart from the published curves."""

    cause: Literal["setting", "definition", "finding"] = Field(
        description="A setting that differs or is not printed, a quantity that is defined otherwise, or neither."
    )
    why: str = Field(description="The cause in a sentence, without a full stop.")


class PublishedCurves(Model):
    """One entry of config/published.yaml, under the name of a file in data/published."""

    seeds: Positive = Field(description="Students that a published mean averages.")
    teachers: Positive = Field(description="Teachers of these students: one, or as many as students.")
    samples: Positive | None = Field(
        None,
        description="Samples of an epoch; ours are compared after as many samples. Without this key, epoch by epoch.",
    )
    spread: RunName | None = Field(
        None,
        description="A run with several teachers of this kind, kept in data/kept/paper: how far teachers differ.",
    )
    causes: dict[RunName, dict[str, Cause]] = Field(
        {}, description="Why curves depart, by our run and by quantity; shown for curves that depart."
    )
