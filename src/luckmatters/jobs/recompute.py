"""Runs recomputed, wholly or for the first epochs, without a trace in the project's results."""

import io
import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pandas as pd

from luckmatters import artefacts, kinds
from luckmatters.artefacts import MANIFEST, TABLE
from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.jobs import verbs
from luckmatters.jobs.bundles import cifar10_bundle, run_bundle, teacher_bundle
from luckmatters.jobs.device import prepare_device
from luckmatters.jobs.inputs import kept_teacher
from luckmatters.settings.experiment import Run

if TYPE_CHECKING:
    from luckmatters.tables.history import TrainingState


class CannotError(UserError):
    """Why a run cannot be recomputed on this machine."""


def recompute(project: Project, run: Run, seeds: Sequence[int], epochs: float, folder: Path) -> pd.DataFrame:
    """The table of a run's first epochs for some seeds, computed now.

    epochs: a run that trains students stops at the first state whose table reaches this epoch, and has no quantities
    that are known in hindsight. Runs with other verbs are whole, and so is a training run behind the run.
    folder: a scratch folder, in which teachers, images and training runs stay for later calls.
    Raises CannotError where a teacher, images or weights are not at hand, and UserError for faults of a file.
    """
    given = {key: getattr(project.settings, key) for key in ("scale", "weights")}
    scratch, seeds = Project(project.root, **given, device="cpu", kept="ignore", results=str(folder)), list(seeds)
    _provide(scratch, run)
    if run.source and not _is_finished(run_bundle(scratch, run.source, seeds)):
        verbs.train(scratch, run.source.experiment, run.source.variant, seeds)
    verb, kind = kinds.verb(run), kinds.runner(run)
    if verb in ("measure", "observe", "extract"):
        getattr(verbs, verb)(scratch, run.experiment, run.variant, seeds)
        table = pd.read_parquet(io.BytesIO(run_bundle(scratch, run, seeds).read(TABLE)))
        return table.drop(columns=["experiment", "variant"])
    start, *_ = verbs.begin(scratch, run, seeds, prepare_device(scratch))
    partial = verb != "simulate" and epochs < float("inf")
    for state in start(None):
        if partial and _reaches(kind, run, seeds, state, epochs):
            break
    table = kind.finish(run, seeds, state).table
    return table if state.epoch == kind.last(run) else table[~in_hindsight(run, table["quantity"])]


def _reaches(kind: ModuleType, run: Run, seeds: list[int], state: "TrainingState", epochs: float) -> bool:
    """Whether the table of a state has rows of an epoch; earlier rounds of pruning have no table."""
    return bool(state.history()) and kind.finish(run, seeds, state).table["epoch"].max() >= epochs


def in_hindsight(run: Run, quantities: pd.Series) -> pd.Series:
    """Whether each quantity of a run is known at the end of the run alone: see :class:`kinds.Kind`."""
    patterns = kinds.registry()[run.kind].hindsight
    known = {name: any(fnmatchcase(name, pattern) for pattern in patterns) for name in quantities.unique()}
    return quantities.map(known).astype(bool)


def _provide(scratch: Project, run: Run) -> None:
    """Put a run's teacher and images in the scratch results, unless they are there. Raises CannotError."""
    settings = run.trained.settings
    if run.teacher and not _is_finished(teacher_bundle(scratch, settings.teacher.name)):
        (_copy_teacher if run.teacher.learning else verbs.generate_teacher)(scratch, settings.teacher.name)
    data = getattr(settings, "data", None)
    if data and data.kind == "cifar10" and not _is_finished(cifar10_bundle(scratch)):
        from luckmatters.cifar10 import VARIABLE, locate

        given = scratch.settings.cifar10
        source, path = locate(given.source, given.path, os.environ, scratch.scale.cifar10_default)
        if source == "torchvision" and not path:  # would be downloaded
            raise CannotError(
                f"no images of CIFAR-10 are at hand; set {VARIABLE}, or cifar10.path in config/config.yaml"
            )
        verbs.prepare_cifar10(scratch)
    if kinds.verb(run) == "extract" and scratch.weights != "published":
        folders = artefacts.pretrained_folders(scratch.root, settings.model)
        if not any((folder / MANIFEST).exists() for folder in folders):  # would be downloaded
            raise CannotError(f"no weights of {settings.model} are at hand; `luckmatters extract` reads them")


def _copy_teacher(scratch: Project, name: str) -> None:
    """Put a committed trained teacher in the scratch results. Raises CannotError if there is none that fits."""
    if not (kept := kept_teacher(scratch, name)):
        raise CannotError(f"teacher {name} is not kept with the settings of scale {scratch.scale_name}")
    teacher_bundle(scratch, name).save(*kept)


def _is_finished(bundle: artefacts.Bundle) -> bool:
    return (bundle.folder / bundle.manifest_name).exists()
