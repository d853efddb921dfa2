"""The original files of CIFAR-10, in torchvision's layout: checked, read, and downloaded."""

import http.client
import shutil
import tarfile
import zlib
from pathlib import Path

import numpy as np

from luckmatters.cifar10.arrays import CLASSES, KEY, PARTS, VARIABLE, Cifar10Arrays, Kept, Part, image_counts
from luckmatters.downloads import is_local, only_process, patience, reason
from luckmatters.errors import UserError
from luckmatters.torchvision_shim import import_torchvision

PATIENCE = 60.0  # seconds without a byte after which a download is given up


def read(root: Path, kept: Kept) -> Cifar10Arrays:
    """The original at a root, in the original's order. Raises UserError if a file is missing or altered."""
    try:
        train, test = (_first(_dataset(root, train=part == "train"), k) for part, k in zip(PARTS, kept, strict=True))
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{root}: {_fault(root) or reason(error)}; unpack cifar-10-python.tar.gz there anew, or set {KEY}.source "
            "to torchvision, which mends the folder"
        ) from None
    return Cifar10Arrays(
        *train, *test, f"CIFAR-10, {image_counts(train, test)} (original, torchvision, checksums verified)"
    )


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


def download(root: Path) -> None:
    """Download, check and unpack the original unless it is there, whole or not at all; one process at a time."""
    if not _fault(root):
        return
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
