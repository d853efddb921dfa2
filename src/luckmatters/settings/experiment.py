"""The keys of config/experiments/*.yaml that all kinds share, and the resolved run."""

import hashlib
import json
from typing import Literal

from pydantic import Field, SerializeAsAny

from luckmatters.settings.base import Model, Name, Positive, RunName
from luckmatters.settings.teachers import TEACHER_TEXTS, Teacher

OF_WHAT_IS_KEPT = "of what is kept"  # names, among what is reduced, the variants and seeds that are not kept
MOST_COMPARED = 3  # labels that share a panel: there are no more line styles that can be told apart


class Figure(Model):
    """How an experiment is drawn."""

    layout: Name = Field(description="The arrangement of the figure: a layout of the experiment's [kind](#kinds).")
    rows: Name | None = Field(None, description="The axis of the grid whose labels are the rows of panels.")
    columns: Name | None = Field(None, description="The axis of the grid whose labels are the columns of panels.")
    compare: Name | None = Field(
        None, description="The axis of the grid whose labels share panels, told apart by line style; 3 labels at most."
    )
    labels: dict[Name, str] = Field({}, description="How labels of the grid are written in the figure.")
    included_first: bool = Field(
        False, description="Whether included variants stand above the experiment's own variants."
    )
    band: Literal["range", "std"] = Field(
        "range", description="The shade around the mean over seeds: their range, or one standard deviation."
    )
    published: dict[str, str] = Field({}, description="Published curves, by variant: a file of data/published.")
    published_note: str = Field("", description="A remark on the published curves, for the figure's footer.")


class Include(Model):
    """A variant of another experiment, drawn and judged with the variants of this experiment; never trained twice."""

    run: RunName = Field(description="The other experiment, and its variant.")
    labels: dict[Name, Name] = Field(description="Where the variant stands in this experiment's grid: a label an axis.")


class Experiment(Model):
    """The keys of config/experiments/*.yaml that are the same for every kind."""

    question: str = Field(description="What the experiment asks, in one sentence.")
    published_as: str = Field(description="Where the authors show the same: figure, section or notebook.")
    kind: Name = Field(description="What is computed: one of the [kinds](#kinds), which has keys of its own.")
    figure: Figure = Field(description="How the experiment is drawn.")
    claims: list[Name] = Field(
        [], description="Claims that the experiment is shown with. What is judged goes by `experiments` of the claim."
    )
    known: list[str] = Field([], description="What is known from the paper, the article or the authors' code.")
    chosen: list[str] = Field([], description="What is our own choice.")
    grid: dict[Name, dict[Name, dict]] = Field(
        {}, description="Axes, their labels, and the settings of each label. Every combination of labels is a variant."
    )
    adjust: dict[Name, dict] = Field(
        {}, description="Settings of single variants, laid over the settings of their labels."
    )
    skip: list[Name] = Field([], description="Combinations of labels that are left out, by the names of the variants.")
    seeds_per_job: Positive | None = Field(
        None, description="Number of seeds computed together in one job. Without this key, as many as the scale says."
    )
    includes: list[Include] = Field([], description="Variants of other experiments that are shown with these variants.")
    scales: dict[Name, dict] = Field({}, description="What each scale changes: see [changes](#changes).")


class Run(Model):
    """One variant of an experiment at a scale, fully resolved: all that its numbers depend on."""

    experiment: Name = Field(description="Name of the experiment.")
    variant: Name = Field(description="Name of the variant: its labels, joined by hyphens, or `base` without a grid.")
    scale: Name = Field(description="Name of the scale.")
    kind: str = Field(description="Name of the kind.")
    labels: dict[str, str] = Field(description="The variant's label on every axis of the grid.")
    settings: SerializeAsAny[Model] = Field(description="The keys of the kind, with the changes of labels and scale.")
    teacher: Teacher | None = Field(description="The teacher; none if the kind has no teacher in config/teachers.yaml.")
    seeds: list[int] = Field(description="All seeds of the variant.")
    source: "Run | None" = Field(
        None, description="The training run that is measured. Its teacher and seeds are those of this run too."
    )

    @property
    def trained(self) -> "Run":
        """The training run behind this one, or itself."""
        return self.source or self


def config_hash(run: Run) -> str:
    """A digest of all settings that a run's numbers depend on; names, labels and the list of seeds are not among them.

    Keys without a value do not count, so that a new optional key leaves the results of old files valid.
    """
    content = run.model_dump(mode="json", exclude_none=True, include={"kind": True, "settings": True, "teacher": True})
    content["settings"].pop("seeds", None)
    if "teacher" in content:
        for key in {"count"} | TEACHER_TEXTS:
            content["teacher"].pop(key, None)
    if run.source:
        content["source"] = config_hash(run.source)
    return _digest(_first_named(content))


def teacher_hash(teacher: Teacher) -> str:
    """A digest of all settings that the networks of a teacher's file depend on; keys without a value do not count."""
    content = teacher.model_dump(mode="json", exclude_none=True, exclude=set(TEACHER_TEXTS))
    return _digest(_teacher_first_named(content))


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _first_named(content: dict) -> dict:
    """The same settings under the names that they had first: a new name makes no result invalid."""
    settings = content["settings"]
    if "source" in settings:
        settings["measures"] = settings.pop("source")
    if settings.get("pruning", {}).get("criterion") == "contribution":
        settings["pruning"]["criterion"] = "spread"
    if "teacher" in content:
        content["teacher"] = _teacher_first_named(content["teacher"])
    return content


def _teacher_first_named(teacher: dict) -> dict:
    if teacher["init"] != "trained":
        return teacher
    renamed = {"init": "pretrained", "pretraining": teacher["learning"]}
    return {key: value for key, value in teacher.items() if key != "learning"} | renamed
