"""The keys of config/experiments/*.yaml that all kinds share, and the resolved run."""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import (
    Field,
    SerializeAsAny,
)

from luckmatters.settings.base import Model, Name, Positive
from luckmatters.settings.teachers import TEACHER_TEXTS, Teacher

MOST_COMPARED = 3  # labels that share a panel: there are no more line styles that can be told apart


class Figure(Model):
    """How an experiment is drawn: the layout is a module of luckmatters.figures, the rest its options.

    rows, columns: axes of the grid whose labels are the rows and columns of panels; compare: an axis whose labels share
    panels, told apart by line style; labels: how labels of the grid are written in the figure; included_first: whether
    included variants stand above the experiment's own; band: what is shaded around the mean over seeds (their range, or
    one standard deviation); published: file of data/published for a variant;
    published_note: said in the figure's footer, where the settings are not known to be the same.
    """

    layout: Name
    rows: Name | None = None
    columns: Name | None = None
    compare: Name | None = None
    labels: dict[Name, str] = {}
    included_first: bool = False
    band: Literal["range", "std"] = "range"
    published: dict[str, str] = {}
    published_note: str = ""


class Include(Model):
    """A variant of another experiment, drawn and judged with this one's under these labels; never trained twice."""

    run: Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]
    labels: dict[Name, Name]


class Experiment(Model):
    """The keys of config/experiments/*.yaml that are the same for every kind."""

    question: str
    published_as: str
    kind: Name
    figure: Figure
    claims: list[Name] = []
    known: list[str] = []
    chosen: list[str] = []
    grid: dict[Name, dict[Name, dict]] = {}
    adjust: dict[Name, dict] = {}
    skip: list[Name] = []
    seeds_per_job: Positive | None = None
    includes: list[Include] = []
    scales: dict[Name, dict] = {}


class Run(Model):
    """One variant of an experiment at a scale, fully resolved: all that its numbers depend on.

    source: the training run that is measured, whose teacher and seeds are this run's; teacher: None where the kind has
    none in config/teachers.yaml.
    """

    experiment: Name
    variant: Name
    scale: Name
    kind: str
    labels: dict[str, str]
    settings: SerializeAsAny[Model]
    teacher: Teacher | None
    seeds: list[int]
    source: "Run | None" = None

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
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
