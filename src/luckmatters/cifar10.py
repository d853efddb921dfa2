"""CIFAR-10 as arrays: from the original files, from a folder or zip of images, or from synthetic images."""

import contextlib
import hashlib
import http.client
import io
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from luckmatters.downloads import is_local, only_process, patience, reason
from luckmatters.errors import UserError
from luckmatters.science.gratings import gratings
from luckmatters.science.random import generator
from luckmatters.torchvision_shim import import_torchvision

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PARTS = ("train", "test")
SIZE = 32  # pixels, both ways
SUFFIXES = (".jpg", ".jpeg", ".png")
SYNTHETIC = (200, 50)  # training and test images of each class, unless limited
DOWNLOADS = "data/downloads"  # relative to the folder in which the command runs
PATIENCE = 60.0  # seconds without a byte after which a download is given up
# What zipfile and Pillow raise for damaged files, apart from OSError.
DAMAGED = (EOFError, RuntimeError, SyntaxError, ValueError, struct.error, zlib.error, zipfile.BadZipFile)
VARIABLE = "LUCKMATTERS_CIFAR10"
KEY = "config/config.yaml: cifar10"
LAYOUT = "a folder or .zip of images (train/<class>/<name>.png or .jpg, and test/...)"
ROOT = "a folder that holds cifar-10-batches-py"

Part = tuple[np.ndarray, np.ndarray]  # images (N, 3, 32, 32) uint8 and labels (N,) int64
Kept = tuple[int | None, int | None]  # training and test images to keep of each class; None: all


@dataclass(frozen=True)
class Cifar10Arrays:
    """Training and test images (N, 3, 32, 32), uint8, red, green, blue, and labels (N,), int64, positions in CLASSES.

    description: source and number of images in one line, for captions.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    description: str


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
            if _fault(root):
                _download(root)
            return _read_root(root, kept)
        case "root":
            return _read_root(Path(path), kept)
        case "folder":
            return _read_folder(Path(path), kept)
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
    raise UserError(f"{where}: {place} {fault}; must be {LAYOUT}, or {ROOT}")


def _counts(train: Part, test: Part) -> str:
    return f"{len(train[1]):,} + {len(test[1]):,} images"


# --- the original files, in torchvision's layout ---------------------------------------------------------------------


def _read_root(root: Path, kept: Kept) -> Cifar10Arrays:
    try:
        train, test = (_first(_dataset(root, train=part == "train"), k) for part, k in zip(PARTS, kept, strict=True))
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{root}: {_fault(root) or reason(error)}; unpack cifar-10-python.tar.gz there anew, or set {KEY}.source "
            "to torchvision, which mends the folder"
        ) from None
    return Cifar10Arrays(*train, *test, f"CIFAR-10, {_counts(train, test)} (original, torchvision, checksums verified)")


def _dataset(root: Path, **options: bool) -> object:
    """torchvision's data set, with every file's md5 checked. Raises OSError or RuntimeError for a wrong file."""
    return import_torchvision().datasets.CIFAR10(root, **options)


def _first(dataset: object, k: int | None) -> Part:
    """The first k images of each class, in the original's order."""
    labels = np.array(dataset.targets, dtype=np.int64)
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == label)[:k] for label in range(len(CLASSES))]))
    images = dataset.data[chosen].transpose(0, 3, 1, 2)  # (N, 32, 32, 3) -> (N, 3, 32, 32)
    return np.ascontiguousarray(images), labels[chosen]


def _fault(root: Path) -> str | None:
    """Fault of the first original file that differs from the published file; None if all agree."""
    torchvision = import_torchvision()
    published, check = torchvision.datasets.CIFAR10, torchvision.datasets.utils.check_integrity
    sums = [*published.train_list, *published.test_list, [published.meta["filename"], published.meta["md5"]]]
    for name, md5 in sums:
        file = Path(published.base_folder) / name
        try:
            if not check(root / file, md5):
                exists = (root / file).is_file()
                return f"{file} is not the original (wrong checksum)" if exists else f"{file} is missing"
        except OSError as error:
            return f"{file} cannot be read ({error.strerror})"
    return None


def _download(root: Path) -> None:
    """Download, check and unpack the original, whole or not at all. One process downloads at a time."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with only_process(root / ".cifar10.lock"):
            if _fault(root):  # another process may have finished the download meanwhile
                _fetch(root, root / ".cifar10-download")
    except (OSError, RuntimeError, EOFError, http.client.HTTPException, tarfile.TarError, zlib.error) as error:
        remedy = f"free 0.5 GB at {root} and make it writable" if is_local(error) else "connect to the network"
        raise UserError(
            f"{KEY}: CIFAR-10 cannot be downloaded ({reason(error)}); set {VARIABLE} to a folder or zip of images or "
            f"to a torchvision root, or {remedy}"
        ) from None


def _fetch(root: Path, temporary: Path) -> None:
    """Download to a temporary folder, then move the images to the root. Files of an interrupted run are deleted."""
    torchvision = import_torchvision()
    published = torchvision.datasets.CIFAR10
    archive, folder = root / published.filename, root / published.base_folder
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        whole = torchvision.datasets.utils.check_integrity(archive, published.tgz_md5)
        if whole:
            (temporary / archive.name).symlink_to(archive.resolve())
        with patience(PATIENCE):
            _dataset(temporary, download=True)
        shutil.rmtree(folder, ignore_errors=True)
        (temporary / folder.name).rename(folder)
        if not whole:
            archive.unlink(missing_ok=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


# --- a folder or zip of images ---------------------------------------------------------------------------------------


def _read_folder(path: Path, kept: Kept) -> Cifar10Arrays:
    with _opened(path) as (names, read_bytes):
        listed = _by_class(path, names)
        train, test = (_decode_all(path, listed[part], k, read_bytes) for part, k in zip(PARTS, kept, strict=True))
    digest = _digest(path, train, test)
    return Cifar10Arrays(
        *train, *test,
        f"CIFAR-10, {_counts(train, test)} from a folder of images ({path.resolve().name}, sha256 {digest[:12]}…)",
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


# --- synthetic images ------------------------------------------------------------------------------------------------


def _draw(kept: Kept) -> Cifar10Arrays:
    counts = [default if k is None else k for k, default in zip(kept, SYNTHETIC, strict=True)]
    streams = [generator("synthetic-images", part) for part in range(len(PARTS))]
    train, test = (gratings(k, len(CLASSES), SIZE, generator=rng) for k, rng in zip(counts, streams, strict=True))
    return Cifar10Arrays(*train, *test, f"synthetic images, not CIFAR-10 ({_counts(train, test)})")
