"""Kept results: finished runs committed in data/kept, one bundle a variant, which need not be computed again."""

import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from luckmatters import artefacts
from luckmatters.artefacts import TABLE, TENSORS, Bundle
from luckmatters.config.files import read_yaml
from luckmatters.errors import UserError
from luckmatters.settings.experiment import Run, config_hash

if TYPE_CHECKING:
    from luckmatters.config.project import Project

FORMAT = 1  # of the bundles; a reader refuses newer ones


@dataclass(frozen=True)
class KeptBundle(Bundle):
    """A bundle of kept results: each file is read and checked once, since nothing changes it while a command runs."""

    contents: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    def read(self, name: str) -> bytes:
        """Content of a file. Raises UserError if the file is missing, AlteredError if it is truncated or altered."""
        if name not in self.contents:
            self.contents[name] = super().read(name)
        return self.contents[name]


@dataclass(frozen=True)
class Kept:
    """The kept results of a run.

    bundle: files and manifest. The manifest has the settings, the seeds, and under ``jobs`` the manifest of each job.
    """

    bundle: KeptBundle

    @cached_property
    def manifest(self) -> dict:
        """The content of the manifest. Raises UserError if the manifest is damaged."""
        return self.bundle.manifest()

    @property
    def seeds(self) -> list[int]:
        """The seeds, sorted."""
        return self.manifest["seeds"]

    @property
    def tensors(self) -> bool:
        """Whether the tensors of the jobs are kept, not the table alone."""
        return TENSORS in self.manifest["files"]


def kept_name(run: Run) -> str:
    """The name of a run among kept results: ``scale/experiment/variant``."""
    return f"{run.scale}/{run.experiment}/{run.variant}"


def kept_bundle(project: "Project", run: Run) -> KeptBundle:
    """The bundle of a run's kept results, there or not."""
    folder = artefacts.kept_folder(project.root, run.scale, run.experiment, run.variant)
    return KeptBundle(folder, recipe="compute it with --config kept=ignore", kept=True)


def find(project: "Project", run: Run) -> Kept | None:
    """The kept results of a run, if they fit the settings in force.

    Nothing is used that is damaged, superseded, of a newer format or of other settings: a line on standard error says
    so.
    """
    kept = Kept(kept_bundle(project, run))
    if not kept.bundle.folder.is_dir():
        return None
    try:
        _check(project, run, kept)
    except UserError as error:
        print(f"kept results not used: {error}", file=sys.stderr, flush=True)
        return None
    return kept


def read_superseded(root: Path) -> dict[str, str]:
    """Kept results that are declared superseded, ``scale/experiment/variant``, and why; empty without such a file.

    The code has changed what their numbers mean, and nobody has computed them again. Raises UserError if a name is not
    that of a kept result.
    """
    path = root / artefacts.SUPERSEDED
    declared = read_yaml(path) if path.exists() else {}
    for name, why in declared.items():
        if not (artefacts.kept_folder(root, *str(name).split("/")) / artefacts.MANIFEST).exists():
            raise UserError(f"{artefacts.SUPERSEDED}: {name}: no such kept result; remove the entry")
        if not isinstance(why, str):
            raise UserError(f"{artefacts.SUPERSEDED}: {name}: must be a text, why the result is superseded, got {why}")
    return declared


def _check(project: "Project", run: Run, kept: Kept) -> None:
    manifest, folder = kept.manifest, kept.bundle.folder
    if why := project.superseded.get(kept_name(run)):
        raise UserError(f"{folder}: is superseded, {why} ({artefacts.SUPERSEDED}); keep the run again")
    if manifest.get("format") != FORMAT:
        raise UserError(
            f"{folder}: has format {manifest.get('format')}, this version reads {FORMAT}; update the project"
        )
    if manifest["config_hash"] != config_hash(run):
        raise UserError(f"{folder}: was made with other settings than config/ has")
    if not set(kept.seeds) <= set(run.seeds):
        raise UserError(f"{folder}: has seeds {artefacts.seed_label(kept.seeds)}, config/ has others")
    if project.settings.weights == "torchvision" and any(job.get("no_weights") for job in manifest["jobs"]):
        raise UserError(f"{folder}: was made of published numbers, and `weights` asks for torchvision's")
    for name in manifest["files"]:
        kept.bundle.read(name)
    if TABLE not in manifest["files"]:
        raise UserError(f"{folder}: has no table")
