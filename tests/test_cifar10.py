"""CIFAR-10 is the same from every source, and nothing damaged, half-written or of another kind is taken for it."""

import hashlib
import io
import pickle
import re
import shutil
import socket
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from server import Server, serving

from luckmatters.cifar10 import CLASSES, PARTS, Cifar10Arrays, locate, original, read, resolve
from luckmatters.errors import UserError
from luckmatters.science.random import generator
from luckmatters.torchvision_shim import import_torchvision

# Python 3.12 and 3.13 announce how 3.14 unpacks archives.
pytestmark = pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")

ARCHIVE, FOLDER = "cifar-10-python.tar.gz", "cifar-10-batches-py"


# --- a small CIFAR-10, in every form ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def small() -> Cifar10Arrays:
    """Two training images and a test image of each class, in no order."""
    stream = generator("test-cifar10")
    images = stream.integers(256, size=(30, 3, 32, 32), dtype=np.uint8)
    labels = np.concatenate([stream.permutation(np.repeat(np.arange(10), count)) for count in (2, 1)])
    return Cifar10Arrays(images[:20], labels[:20], images[20:], labels[20:], "")


def part(arrays: Cifar10Arrays, name: str) -> tuple[np.ndarray, np.ndarray]:
    return getattr(arrays, f"{name}_images"), getattr(arrays, f"{name}_labels")


def assert_same(found: Cifar10Arrays, expected: Cifar10Arrays, *, by_class: bool = False) -> None:
    """Equal images and labels; by_class: found has the expected ones class by class, in order within a class."""
    for name in PARTS:
        images, labels = part(expected, name)
        order = np.argsort(labels, kind="stable") if by_class else slice(None)
        np.testing.assert_array_equal(part(found, name)[0], images[order], strict=True)
        np.testing.assert_array_equal(part(found, name)[1], labels[order], strict=True)


def png(image: np.ndarray, mode: str = "RGB") -> bytes:
    """An image of shape (3, height, width) as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(small: Cifar10Arrays, tmp_path: Path) -> Path:
    """As a folder of PNG files."""
    made = tmp_path / "images"
    for name in PARTS:
        for number, (image, label) in enumerate(zip(*part(small, name), strict=True)):
            file = made / name / CLASSES[label] / f"{number:04}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(image))
    return made


def zipped(folder: Path, lead: str = "", extra: tuple[str, ...] = ()) -> Path:
    """The folder as a zip beside it; files in reverse order, as no reader may rely on theirs."""
    made = folder.with_suffix(".zip")
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((file for file in folder.rglob("*") if file.is_file()), reverse=True):
            archive.write(file, lead + file.relative_to(folder).as_posix())
        for name in extra:
            archive.writestr(name, "a note")
    return made


def pickled(content: dict) -> bytes:
    """As the original's files: NumPy pickled its array descriptions with 0 and 1 instead of False and True."""
    data = pickle.dumps(content, protocol=2)
    assert data.count(b"\x89\x88\x87") <= 1  # False, True, tuple of three
    return data.replace(b"\x89\x88\x87", b"K\x00K\x01\x87")


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def root(small: Cifar10Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As torchvision keeps the original; torchvision's list of checksums is that of these files."""
    data = small.train_images.reshape(20, -1), small.train_labels.tolist()
    batches = {
        f"data_batch_{i + 1}": {"data": data[0][4 * i : 4 * i + 4], "labels": data[1][4 * i : 4 * i + 4]}
        for i in range(5)
    }
    batches["test_batch"] = {"data": small.test_images.reshape(10, -1), "labels": small.test_labels.tolist()}
    files = {name: pickled(content) for name, content in batches.items()}
    files["batches.meta"] = pickled({"label_names": list(CLASSES)})
    made = tmp_path / "root"
    (made / FOLDER).mkdir(parents=True)
    for name, content in files.items():
        (made / FOLDER / name).write_bytes(content)

    published = import_torchvision().datasets.CIFAR10
    sums = [[name, md5(content)] for name, content in files.items()]
    monkeypatch.setattr(published, "train_list", sums[:5])
    monkeypatch.setattr(published, "test_list", sums[5:6])
    monkeypatch.setattr(published, "meta", {**published.meta, "md5": sums[6][1]})
    return made


@pytest.fixture
def archive(root: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """As the archive that is downloaded; torchvision's checksum is that of this one. The root is empty again."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as made:
        made.add(root / FOLDER, FOLDER)
    shutil.rmtree(root)
    monkeypatch.setattr(import_torchvision().datasets.CIFAR10, "tgz_md5", md5(buffer.getvalue()))
    return buffer.getvalue()


@pytest.fixture
def server(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of the archive, from which torchvision downloads."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(archive) as made:
        monkeypatch.setattr(
            import_torchvision().datasets.CIFAR10, "url", f"http://127.0.0.1:{made.server_port}/{ARCHIVE}"
        )
        yield made


@contextmanager
def refused(words: str) -> Iterator[None]:
    """Fails unless the block raises a UserError of one line that matches."""
    with pytest.raises(UserError, match=words) as error:
        yield
    assert "\n" not in str(error.value)


def left(folder: Path) -> list[str]:
    """What is in a folder, apart from the empty file that keeps processes apart."""
    return sorted(file.name for file in folder.iterdir() if (file.name, file.stat().st_size) != (".cifar10.lock", 0))


# --- every source gives the same -------------------------------------------------------------------------------------


def test_a_folder_gives_the_images_by_class_and_name(small: Cifar10Arrays, folder: Path) -> None:
    found = read("folder", str(folder), limit=None)
    assert_same(found, small, by_class=True)
    assert re.fullmatch(
        r"CIFAR-10, 20 \+ 10 images from a folder of images \(images, sha256 [0-9a-f]{12}…\)", found.description
    )


@pytest.mark.parametrize(
    ("lead", "extra"),
    [("", ()), ("cifar10/", ()), ("train data/", ("__MACOSX/cifar10/._train",)), ("", ("README.txt", "train/.note"))],
)
def test_a_zip_gives_the_same_as_the_folder(small: Cifar10Arrays, folder: Path, lead: str, extra: tuple) -> None:
    path = zipped(folder, lead, extra)
    found = read("folder", str(path), limit=None)
    assert_same(found, small, by_class=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.description == f"CIFAR-10, 20 + 10 images from a folder of images (images.zip, sha256 {digest[:12]}…)"


def test_a_folders_checksum_is_that_of_its_images(folder: Path) -> None:
    before = read("folder", str(folder), limit=None).description
    file = next(folder.glob("test/cat/*"))
    pixels = np.asarray(Image.open(file)).copy()
    pixels[0, 0, 0] ^= 1
    file.write_bytes(png(pixels.transpose(2, 0, 1)))
    assert read("folder", str(folder), limit=None).description != before


def test_jpegs_and_other_kinds_of_pngs_become_red_green_blue(folder: Path) -> None:
    grey, alpha, jpeg = sorted(folder.glob("test/*/*"))[:3]
    flat = np.full((3, 32, 32), [[[200]], [[100]], [[50]]], dtype=np.uint8)
    grey.write_bytes(png(flat, "L"))
    alpha.write_bytes(png(flat, "RGBA"))
    Image.fromarray(flat.transpose(1, 2, 0)).save(jpeg.with_suffix(".JPG"), "JPEG", quality=95)
    jpeg.unlink()
    found = read("folder", str(folder), limit=None).test_images[:3].astype(int)
    luma = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)  # ITU-R 601, as Pillow has it
    assert (found[0] == luma).all()
    assert (found[1] == flat).all()
    assert np.abs(found[2] - flat).max() <= 3  # JPEG rounds colours to whole steps


def test_a_torchvision_root_gives_the_original_order(small: Cifar10Arrays, root: Path) -> None:
    found = read("root", str(root), limit=None)
    assert_same(found, small)
    assert found.description == "CIFAR-10, 20 + 10 images (original, torchvision, checksums verified)"


def test_a_download_gives_the_same_as_the_root_and_is_kept(
    small: Cifar10Arrays, server: Server, root: Path, capfd: pytest.CaptureFixture
) -> None:
    found = read("torchvision", str(root), limit=None)
    assert_same(found, small)
    assert found.description == "CIFAR-10, 20 + 10 images (original, torchvision, checksums verified)"
    assert left(root) == [FOLDER]
    asked = server.requests
    assert_same(read("torchvision", str(root), limit=None), small)
    assert server.requests == asked


def test_without_a_path_the_download_goes_below_the_current_folder(
    small: Cifar10Arrays, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_same(read("torchvision", None, limit=None), small)
    assert left(tmp_path / "data" / "downloads") == [FOLDER]


def test_an_archive_that_is_there_is_not_downloaded(small: Cifar10Arrays, server: Server, root: Path) -> None:
    root.mkdir()
    (root / ARCHIVE).write_bytes(server.content)
    assert_same(read("torchvision", str(root), limit=None), small)
    assert server.requests == 0
    assert left(root) == [FOLDER, ARCHIVE]
    assert (root / ARCHIVE).read_bytes() == server.content


def test_two_processes_download_once(small: Cifar10Arrays, server: Server, root: Path) -> None:
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(read("torchvision", str(root), limit=None))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    for arrays in found:
        assert_same(arrays, small)
    assert server.requests == 2  # where the file is, and the file


# --- downloads that fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_download_that_is_cut_short_leaves_nothing_and_the_next_download_succeeds(
    small: Cifar10Arrays, server: Server, root: Path, share: float
) -> None:
    server.sent = int(share * len(server.content))
    with refused(r"config/config.yaml: cifar10: .*cannot be downloaded \(.*cut short.*LUCKMATTERS_CIFAR10.*network"):
        read("torchvision", str(root), limit=None)
    assert left(root) == []
    server.sent = len(server.content)
    assert_same(read("torchvision", str(root), limit=None), small)


def test_an_archive_with_another_checksum_is_refused(server: Server, root: Path) -> None:
    server.content = server.content[:-1] + bytes([server.content[-1] ^ 1])
    with refused(r"cannot be downloaded \(.*wrong checksum"):
        read("torchvision", str(root), limit=None)
    assert left(root) == []


def test_leftovers_of_a_killed_run_are_downloaded_anew(small: Cifar10Arrays, server: Server, root: Path) -> None:
    half = server.content[:1000]
    for folder in (root, root / ".cifar10-download", root / FOLDER, root / ".cifar10-download" / FOLDER):
        folder.mkdir(exist_ok=True)
        (folder / ARCHIVE).write_bytes(half)
        (folder / "data_batch_1").write_bytes(b"half")
    (root / "data_batch_1").unlink()
    (root / "note.txt").write_text("the user's")
    assert_same(read("torchvision", str(root), limit=None), small)
    assert left(root) == [FOLDER, "note.txt"]
    assert (root / FOLDER / "test_batch").exists()
    assert not (root / FOLDER / ARCHIVE).exists()


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_file_altered_after_the_download_is_mended(
    small: Cifar10Arrays, server: Server, root: Path, name: str
) -> None:
    read("torchvision", str(root), limit=None)
    (root / FOLDER / name).write_bytes(b"altered")
    assert_same(read("torchvision", str(root), limit=None), small)


def test_a_missing_network_gives_a_one_line_error(server: Server, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/{ARCHIVE}"
        monkeypatch.setattr(import_torchvision().datasets.CIFAR10, "url", url)
        with refused(
            r"^config/config.yaml: cifar10: CIFAR-10 cannot be downloaded \(Connection refused\); set "
            r"LUCKMATTERS_CIFAR10 to a folder or zip of images or to a torchvision root, or connect to the network$"
        ):
            read("torchvision", str(root), limit=None)
    assert left(root) == []


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "the server answers 404 Not Found"), (503, "the server answers 503"), (99, "HTTP/1.0 99")],
)
def test_a_server_without_the_file_gives_a_one_line_error(server: Server, root: Path, status: int, words: str) -> None:
    server.status = status
    with refused(rf"cannot be downloaded \({words}"):
        read("torchvision", str(root), limit=None)
    assert left(root) == []


def test_a_stalled_download_is_given_up(server: Server, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(original, "PATIENCE", 0.2)
    server.sent = 1000
    server.stalled.clear()
    with refused(r"cannot be downloaded \(timed out\)"):
        read("torchvision", str(root), limit=None)
    assert left(root) == []
    assert socket.getdefaulttimeout() is None


def test_a_full_disk_gives_a_one_line_error(server: Server, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(archive: tarfile.TarFile, path: Path) -> None:
        (Path(path) / FOLDER).mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "extractall", full)
    with refused(r"cannot be downloaded \(No space left on device\); .* or free 0.5 GB at .*root and make it writable"):
        read("torchvision", str(root), limit=None)
    assert left(root) == []


def test_a_path_that_is_a_file_cannot_be_downloaded_to(server: Server, root: Path) -> None:
    root.write_text("not a folder")
    with refused(r"cannot be downloaded \(File exists\)"):
        read("torchvision", str(root), limit=None)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["data_batch_1", "data_batch_5", "test_batch", "batches.meta"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "wrong checksum"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1] + b"\x00"), "wrong checksum"),
    ],
)
def test_a_damaged_root_is_refused(root: Path, name: str, damage: Callable[[Path], object], words: str) -> None:
    damage(root / FOLDER / name)
    with refused(rf"root: {FOLDER}/{name} .*{words}.*cifar10.source to torchvision"):
        read("root", str(root), limit=None)


def _add(name: str, content: bytes | None = b"a note") -> Callable[[Path], object]:
    """Damage: a file, or a folder if there is no content."""

    def add(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content) if content is not None else (folder / name).mkdir()

    return add


def _change(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Damage: another content of the one test image of a cat."""

    def apply(folder: Path) -> None:
        file = next(folder.glob("test/cat/*"))
        file.write_bytes(change(file.read_bytes()))

    return apply


def _sized(height: int, width: int) -> bytes:
    return png(np.zeros((3, height, width), dtype=np.uint8))


def _deep() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((32, 32), dtype=np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


def _gif() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((32, 32), dtype=np.uint8)).save(buffer, "GIF")
    return buffer.getvalue()


BAD_IMAGES = {
    "another class": (_add("train/zebra/0000.png"), r"train/zebra: is none of the ten classes airplane, .*truck"),
    "misspelled class": (lambda folder: (folder / "test/cat").rename(folder / "test/Cat"), r"test/Cat: is none of"),
    "missing class": (lambda folder: shutil.rmtree(folder / "test/dog"), r"test/dog: has no images, or is missing"),
    "missing part": (lambda folder: shutil.rmtree(folder / "test"), r"test/airplane: has no images"),
    "empty class": (
        lambda folder: [file.unlink() for file in folder.glob("train/ship/*")],
        r"train/ship: has no images.*train/<class>/<name>.png",
    ),
    "no image": (_add("train/cat/labels.txt"), r"train/cat/labels.txt: is no image; train/<class>/ may hold .jpg"),
    "image outside": (_add("train/0000.png"), r"train/0000.png: is none of the ten classes"),
    "class is a file": (
        lambda folder: (shutil.rmtree(folder / "train/cat"), (folder / "train/cat").write_text("")),
        r"train/cat: is no image",
    ),
    "another size": (_change(lambda _: _sized(28, 32)), r"test/cat/\d+.png: is 32×28, .*must be .* 32×32 pixels"),
    "16 bits": (_change(lambda _: _deep()), r"test/cat/\d+.png: is 32×32, mode I;16; must be .*8 bits"),
    "another format": (_change(lambda _: _gif()), r"test/cat/\d+.png: cannot be read .*must be a JPEG or PNG"),
    "truncated image": (_change(lambda png: png[: len(png) // 2]), r"test/cat/\d+.png: cannot be read .*damaged"),
    "altered image": (
        _change(lambda png: png[:500] + bytes([png[500] ^ 1]) + png[501:]),
        r"test/cat/\d+.png: cannot be read .*damaged",
    ),
    "empty image": (_change(lambda _: b""), r"test/cat/\d+.png: cannot be read"),
    "no picture": (_change(lambda _: b"no picture"), r"test/cat/\d+.png: cannot be read .*copy it anew"),
}


@pytest.mark.parametrize(
    "form", [str, zipped, lambda folder: zipped(folder, "cifar10/")], ids=["folder", "zip", "lead"]
)
@pytest.mark.parametrize(("damage", "words"), BAD_IMAGES.values(), ids=BAD_IMAGES.keys())
def test_bad_images_are_refused_by_name(
    folder: Path, form: Callable, damage: Callable[[Path], object], words: str
) -> None:
    damage(folder)
    path = str(form(folder))
    with refused(rf"^{re.escape(path)}: {words}"):
        read("folder", path, limit=None)


def _alter(path: Path, place: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(content)


def test_a_file_name_with_a_line_break_is_refused_in_one_line(folder: Path) -> None:
    path = zipped(folder, extra=("train/cat/00\n00.png",))
    with refused(r"images.zip: 'train/cat/00\\n00.png': is no name of a file"):
        read("folder", str(path), limit=None)


def test_a_folder_inside_a_class_is_refused(folder: Path) -> None:
    _add("train/cat/more.png", None)(folder)
    with refused(r"train/cat/more.png/: is no image"):
        read("folder", str(folder), limit=None)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "is no zip file, or a damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "is no zip file, or a damaged"),
        (lambda path: path.write_bytes(b""), "is no zip file"),
        (lambda path: path.unlink(), r"cannot be read \(No such file"),
        # A version of the format that does not exist, in the directory at the end; pixels of the first file.
        (lambda path: _alter(path, path.read_bytes().index(b"PK\1\2") + 6, b"\xff"), "is no zip file, or a damaged"),
        (lambda path: _alter(path, 500, b"\0\0"), r"train/truck/\d+.png: cannot be read"),
    ],
)
def test_a_damaged_zip_is_refused(folder: Path, damage: Callable[[Path], object], words: str) -> None:
    path = zipped(folder)
    damage(path)
    with refused(rf"images.zip: {words}"):
        read("folder", str(path), limit=None)


def test_an_unknown_source_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="auto"):
        read("auto", None, limit=None)


# --- synthetic images ------------------------------------------------------------------------------------------------


def test_synthetic_images_are_the_same_every_time() -> None:
    one, two = (read("synthetic", None, limit=None) for _ in range(2))
    assert_same(one, two)
    assert one.description == "synthetic images, not CIFAR-10 (2,000 + 500 images)"
    for name, count in (("train", 200), ("test", 50)):
        images, labels = part(one, name)
        assert (images.shape, images.dtype, labels.dtype) == ((10 * count, 3, 32, 32), np.uint8, np.int64)
        assert np.bincount(labels).tolist() == [count] * 10
    both = np.concatenate([one.train_images, one.test_images]).reshape(2500, -1)
    assert len(np.unique(both, axis=0)) == 2500


def test_synthetic_classes_differ() -> None:
    arrays = read("synthetic", None, limit=None)
    images = arrays.train_images.mean(1)  # no colours
    power = np.abs(np.fft.rfft2(images - images.mean((1, 2), keepdims=True))) ** 2
    spectra = np.stack([power[arrays.train_labels == label].mean(0).ravel() for label in range(10)])
    # A grating's spectrum peaks at its direction and frequency, and no two classes share both.
    assert len(set(spectra.argmax(1))) == 10


# --- fewer images ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "train", "test"), [(10, 1, 1), (19, 1, 1), (20, 2, 1), (1000, 2, 1)])
@pytest.mark.parametrize("source", ["folder", "zip", "root"])
def test_a_limit_keeps_the_first_images_of_each_class(
    small: Cifar10Arrays, folder: Path, root: Path, source: str, limit: int, train: int, test: int
) -> None:
    path = {"folder": folder, "zip": zipped(folder), "root": root}[source]
    source = source.replace("zip", "folder")
    found = read(source, str(path), limit=limit)
    kept = {"train": train, "test": test}
    for name in PARTS:
        images, labels = part(small, name)
        chosen = [i for i, label in enumerate(labels) if (labels[:i] == label).sum() < kept[name]]
        if source == "folder":
            chosen.sort(key=lambda i: labels[i])
        np.testing.assert_array_equal(part(found, name)[0], images[chosen], strict=True)
        np.testing.assert_array_equal(part(found, name)[1], labels[chosen], strict=True)
    assert f"CIFAR-10, {10 * train} + {10 * test} images" in found.description


@pytest.mark.parametrize(("limit", "test"), [(10, 10), (100, 20), (1049, 200)])
def test_fewer_synthetic_images_are_the_first_of_more(limit: int, test: int) -> None:
    few, many = (read("synthetic", None, limit=number) for number in (limit, None))
    train = limit // 10 * 10
    np.testing.assert_array_equal(few.train_images, many.train_images[:train], strict=True)
    np.testing.assert_array_equal(few.test_images, many.test_images[:test], strict=True)
    assert few.description == f"synthetic images, not CIFAR-10 ({train:,} + {test} images)"


def test_images_beyond_the_limit_are_not_decoded(folder: Path) -> None:
    for label in CLASSES:
        max(folder.glob(f"train/{label}/*")).write_bytes(b"no picture")
    assert len(read("folder", str(folder), limit=10).train_images) == 10
    with refused("cannot be read"):
        read("folder", str(folder), limit=20)


@pytest.mark.parametrize("limit", [9, 0, -1])
def test_a_limit_below_one_image_a_class_is_refused(limit: int) -> None:
    with refused(rf"config/config.yaml: cifar10.limit: must be at least 10.*got {limit}"):
        read("synthetic", None, limit=limit)


# --- where the images are --------------------------------------------------------------------------------------------


def test_auto_finds_out_what_the_path_holds(folder: Path, root: Path) -> None:
    path = zipped(folder)
    assert locate("auto", str(folder), {}) == ("folder", str(folder))
    assert locate("auto", str(path), {}) == ("folder", str(path))
    assert locate("auto", str(root), {}) == ("root", str(root))
    assert locate("auto", None, {}) == ("torchvision", None)
    assert locate("auto", None, {"LUCKMATTERS_CIFAR10": ""}) == ("torchvision", None)


def test_without_a_path_auto_is_the_default_and_no_file_is_looked_at() -> None:
    assert resolve("auto", None, {}, "synthetic") == locate("auto", None, {}, "synthetic") == ("synthetic", None)
    assert resolve("auto", "nowhere", {}, "synthetic") == ("auto", "nowhere")
    assert resolve("auto", "nowhere", {"LUCKMATTERS_CIFAR10": "~"}, "synthetic") == ("auto", "~")


@pytest.mark.parametrize("source", ["torchvision", "root", "folder", "synthetic"])
def test_a_given_source_is_kept_and_the_environment_goes_first(source: str) -> None:
    assert locate(source, "a", {}) == (source, "a")
    assert locate(source, "a", {"LUCKMATTERS_CIFAR10": "b"}) == (source, "b")
    assert locate(source, None, {"LUCKMATTERS_CIFAR10": "b"}) == (source, "b")


def test_auto_asks_the_environment_first(folder: Path, root: Path) -> None:
    assert locate("auto", str(folder), {"LUCKMATTERS_CIFAR10": str(root)}) == ("root", str(root))
    assert locate("auto", str(folder), {"LUCKMATTERS_CIFAR10": ""}) == ("folder", str(folder))


def test_a_home_folder_may_be_abbreviated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert locate("auto", "~/images", {}) == ("folder", str(folder))


@pytest.mark.parametrize("source", ["folder", "root"])
def test_a_source_without_the_path_it_needs_is_refused(source: str) -> None:
    with refused(rf"config/config.yaml: cifar10.path: missing; source {source} .*LUCKMATTERS_CIFAR10"):
        locate(source, None, {})


@pytest.mark.parametrize(
    ("name", "words"),
    [("nowhere", "does not exist"), ("nowhere.zip", "does not exist"), ("note.txt", "holds no"), ("half", "holds no")],
)
def test_a_path_without_cifar10_is_refused_where_it_is_set(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "note.txt").write_text("a note")
    (tmp_path / "half" / "train").mkdir(parents=True)
    path = str(tmp_path / name)
    allowed = rf"{re.escape(path)} {words}.*must be a folder or .zip of images.*cifar-10-batches-py"
    with refused(rf"^config/config.yaml: cifar10.path: {allowed}"):
        locate("auto", path, {})
    with refused(rf"^LUCKMATTERS_CIFAR10: {allowed}"):
        locate("auto", None, {"LUCKMATTERS_CIFAR10": path})
