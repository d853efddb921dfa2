"""CIFAR-10 from a folder or zip of images, one folder a class."""

import contextlib
import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from luckmatters.cifar10.arrays import CLASSES, PARTS, SIZE, Cifar10Arrays, Kept, Part, image_counts
from luckmatters.downloads import reason
from luckmatters.errors import UserError

LAYOUT = "a folder or .zip of images (train/<class>/<name>.png or .jpg, and test/...)"
SUFFIXES = (".jpg", ".jpeg", ".png")
# What zipfile and Pillow raise for damaged files, apart from OSError.
DAMAGED = (EOFError, RuntimeError, SyntaxError, ValueError, struct.error, zlib.error, zipfile.BadZipFile)


def read(path: Path, kept: Kept) -> Cifar10Arrays:
    """The images of a folder or zip, by class, then by name. Raises UserError for anything else."""
    with _opened(path) as (names, read_bytes):
        listed = _by_class(path, names)
        train, test = (_decode_all(path, listed[part], k, read_bytes) for part, k in zip(PARTS, kept, strict=True))
    digest = _digest(path, train, test)
    return Cifar10Arrays(
        *train, *test,
        f"CIFAR-10, {image_counts(train, test)} from a folder of images ({path.resolve().name}, sha256 {digest[:12]}…)",
    )  # fmt: skip


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """File names in a folder or zip (folders end in /), and a function that reads a file.

    Raises UserError if the path is neither.
    """
    if path.is_dir():
        files = [file for part in PARTS for depth in ("*", "*/*") for file in path.glob(f"{part}/{depth}")]
        yield (
            [file.relative_to(path).as_posix() + "/" * file.is_dir() for file in files],
            lambda name: (path / name).read_bytes(),
        )
        return
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)}); must be {LAYOUT}") from None
    except DAMAGED:
        raise UserError(f"{path}: is no zip file, or a damaged one; must be {LAYOUT}; copy it anew") from None
    with archive:
        names = [name for name in dict.fromkeys(archive.namelist()) if not name.startswith((".", "__MACOSX/"))]
        tops = {name.split("/")[0] for name in names}
        lead = f"{tops.pop()}/" if len(tops) == 1 and not tops & set(PARTS) else ""
        yield [name.removeprefix(lead) for name in names], lambda name: archive.read(lead + name)


def _by_class(path: Path, names: Sequence[str]) -> dict[str, list[list[str]]]:
    """Names of the images: for each part, a sorted list for each class.

    Raises UserError unless both parts hold images of the ten classes and nothing else.
    """
    listed = {part: {name: [] for name in CLASSES} for part in PARTS}
    for name in names:
        if not name.isprintable():
            raise UserError(f"{path}: {name!a}: is no name of a file; copy the images anew")
        part, *rest = name.rstrip("/").split("/")
        if part not in PARTS or not rest or any(step.startswith(".") for step in rest):
            continue  # a note beside the parts, a part itself, a hidden file
        if rest[0] not in CLASSES:
            raise UserError(f"{path}: {part}/{rest[0]}: is none of the ten classes {', '.join(CLASSES)}; remove it")
        if len(rest) == 2 and name.lower().endswith(SUFFIXES):
            listed[part][rest[0]].append(name)
        elif len(rest) > 1 or not name.endswith("/"):
            raise UserError(f"{path}: {name}: is no image; {part}/<class>/ may hold {', '.join(SUFFIXES)} files only")
    for part, classes in listed.items():
        for label, images in classes.items():
            if not images:
                raise UserError(f"{path}: {part}/{label}: has no images, or is missing; must be {LAYOUT}")
    return {part: [sorted(images) for images in classes.values()] for part, classes in listed.items()}


def _decode_all(path: Path, classes: list[list[str]], k: int | None, read_bytes: Callable[[str], bytes]) -> Part:
    """The first k images of each class in a folder or zip, decoded."""
    chosen = [(label, name) for label, names in enumerate(classes) for name in names[:k]]
    images = np.empty((len(chosen), 3, SIZE, SIZE), dtype=np.uint8)
    for image, (_, name) in zip(images, chosen, strict=True):
        image[:] = _decode(path, name, read_bytes).transpose(2, 0, 1)  # (32, 32, 3) -> (3, 32, 32)
    return images, np.array([label for label, _ in chosen], dtype=np.int64)


def _decode(path: Path, name: str, read_bytes: Callable[[str], bytes]) -> np.ndarray:
    """An image (32, 32, 3), uint8. Raises UserError if the image is damaged or of another size or kind."""
    from PIL import Image

    expected = f"must be a JPEG or PNG of {SIZE}×{SIZE} pixels, 8 bits a channel"
    try:
        with Image.open(io.BytesIO(read_bytes(name)), formats=("JPEG", "PNG")) as image:
            if image.size != (SIZE, SIZE) or image.mode.startswith(("I", "F")):
                raise UserError(f"{path}: {name}: is {image.width}×{image.height}, mode {image.mode}; {expected}")
            return np.asarray(image.convert("RGB"))
    except (OSError, *DAMAGED, Image.DecompressionBombError) as error:
        fault = getattr(error, "strerror", None) or "damaged, or of another format"
        raise UserError(f"{path}: {name}: cannot be read ({fault}); {expected}; copy it anew") from None


def _digest(path: Path, train: Part, test: Part) -> str:
    """SHA-256 of the zip, or of the images and labels read from a folder."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for array in (*train, *test):
        digest.update(array)
    return digest.hexdigest()
