"""BatchNorm of networks pretrained on ImageNet: from the weights, or from a small table that is kept of them."""

from collections.abc import Sequence
from pathlib import Path

from luckmatters.artefacts import MANIFEST
from luckmatters.errors import UserError
from luckmatters.pretrained import checkpoints, packages
from luckmatters.pretrained.checkpoints import UnreachableError
from luckmatters.pretrained.norms import Norms, keep, read_kept

__all__ = ["Norms", "UnreachableError", "describe", "read"]


def read(model: str, *, kept: Sequence[Path]) -> Norms:
    """The BatchNorm layers of a model: from the weights on this machine, from a kept table, or from a download.

    Weights on this machine are those of an installed package, or a checkpoint in torch's cache.
    kept: folders that may hold a table, the preferred folder first. A table from weights is kept in the last
    folder, so that the weights may be deleted. Weights and a kept table must agree. Raises UnreachableError if
    the network fails, and UserError for files that are altered or of another model, if the disk is full, or if neither
    a package nor a table is there.
    """
    source = packages if model in packages.PACKAGES else checkpoints
    tables = {folder: read_kept(folder) for folder in kept if (folder / MANIFEST).exists()}
    for folder, table in tables.items():
        if not source.owns(table, model):
            raise UserError(f"{folder}: is not the table of {model} from {source.file_name(model)}; delete it")
    path = source.on_this_machine(model)
    if path is None and tables:
        return next(iter(tables.values()))
    path = path or source.obtain(model)
    norms = source.extract(path, model)
    for folder, table in tables.items():
        if table.origin["sha256"] != norms.origin["sha256"] or not table.table.equals(norms.table):
            raise UserError(f"{folder}: is not what {path} holds; delete the folder, or the file if it is wrong")
    if not tables:
        keep(kept[-1], norms)
    return norms


def describe(norms: Norms) -> str:
    """Origin of the layers in one line."""
    origin = norms.origin
    source = origin.get("package", f"torchvision {origin['weights']}")
    return f"{origin['model']}, {source} ({origin['checkpoint']}, sha256 {origin['sha256'][:12]}…)"
