"""CIFAR-10 as arrays: from the original files, from a folder or zip of images, or from synthetic images."""

from collections.abc import Mapping
from pathlib import Path

from luckmatters.cifar10 import folder, original
from luckmatters.cifar10.arrays import CLASSES, KEY, PARTS, SIZE, VARIABLE, Cifar10Arrays, Kept, image_counts
from luckmatters.errors import UserError
from luckmatters.science.gratings import gratings
from luckmatters.science.random import generator

__all__ = ["CLASSES", "PARTS", "VARIABLE", "Cifar10Arrays", "locate", "read", "resolve"]

SYNTHETIC = (200, 50)  # training and test images of each class, unless limited
DOWNLOADS = "data/downloads"  # relative to the folder in which the command runs
ROOT = "a folder that holds cifar-10-batches-py"


def resolve(
    source: str, path: str | None, environment: Mapping[str, str], default: str = "torchvision"
) -> tuple[str, str | None]:
    """Source and path of CIFAR-10, from the configuration and the environment. Looks at no file.

    LUCKMATTERS_CIFAR10 in the environment goes before the configured path. Source ``auto`` becomes the default if there
    is no path.
    """
    given = environment.get(VARIABLE) or path or None
    return (default if source == "auto" and not given else source), given


def locate(
    source: str, path: str | None, environment: Mapping[str, str], default: str = "torchvision"
) -> tuple[str, str | None]:
    """Source and path of CIFAR-10 for :func:`read`; looks at what the path holds.

    Like :func:`resolve`, but ``auto`` with a path becomes ``folder`` or ``root``, whichever the path holds. Raises
    UserError if the path holds neither, or if ``folder`` or ``root`` has no path.
    """
    source, given = resolve(source, path, environment, default)
    if not given:
        if source in ("folder", "root"):
            raise UserError(f"{KEY}.path: missing; source {source} needs it there or in {VARIABLE}")
        return source, None
    place = Path(given).expanduser()
    where = VARIABLE if environment.get(VARIABLE) else f"{KEY}.path"
    return (_kind(place, where) if source == "auto" else source), str(place)


def read(source: str, path: str | None, *, limit: int | None) -> Cifar10Arrays:
    """All images of a source, or the first images of each class.

    source: ``torchvision``, the original, downloaded to the path (or to data/downloads) unless present; ``root``, the
    original at the path, without a download; ``folder``, a folder or zip of images; ``synthetic``, generated images for
    trials;
    limit: at most this many training images and a fifth as many test images (10 at least), the first of each class.

    Order: the original's; in a folder by class, then by name; of synthetic images the ten classes in turn. Raises
    UserError for files that are missing, damaged, of another kind, or cannot be downloaded.
    """
    if limit is not None and limit < len(CLASSES):
        raise UserError(f"{KEY}.limit: must be at least {len(CLASSES)}, one image of each class, got {limit}")
    kept = (None, None) if limit is None else (limit // 10, max(1, limit // 50))
    match source:
        case "torchvision":
            root = Path(path or DOWNLOADS)
            original.download(root)
            return original.read(root, kept)
        case "root":
            return original.read(Path(path), kept)
        case "folder":
            return folder.read(Path(path), kept)
        case "synthetic":
            return _draw(kept)
    raise ValueError(f"source {source!r}; locate() gives those that can be read")


def _kind(place: Path, where: str) -> str:
    if place.suffix.lower() == ".zip" and place.is_file():
        return "folder"
    if all((place / part).is_dir() for part in PARTS):
        return "folder"
    if (place / "cifar-10-batches-py").is_dir():
        return "root"
    fault = "holds no CIFAR-10" if place.exists() else "does not exist"
    raise UserError(f"{where}: {place} {fault}; must be {folder.LAYOUT}, or {ROOT}")


def _draw(kept: Kept) -> Cifar10Arrays:
    counts = [default if k is None else k for k, default in zip(kept, SYNTHETIC, strict=True)]
    streams = [generator("synthetic-images", part) for part in range(len(PARTS))]
    train, test = (gratings(k, len(CLASSES), SIZE, generator=rng) for k, rng in zip(counts, streams, strict=True))
    return Cifar10Arrays(*train, *test, f"synthetic images, not CIFAR-10 ({image_counts(train, test)})")
