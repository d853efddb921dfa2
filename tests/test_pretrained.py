"""Pretrained networks: only the right checkpoint is read, once, and what is kept of it is what it held."""

import errno
import hashlib
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from server import Server, serving
from torch import nn

from luckmatters import artefacts, pretrained
from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.jobs import verbs
from luckmatters.pretrained import Norms, UnreachableError, checkpoints, read
from luckmatters.pretrained.checkpoints import norm_layers
from luckmatters.torchvision_shim import import_torchvision

FORMATS = {"zip": True, "legacy": False}  # torch saves zip files since 1.6; torchvision's VGG files are older


def small_network() -> nn.Module:
    """Conv-BN-ReLU, twice, of 3 and 5 channels."""
    convolutions = [nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU()]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(5, 10))


def saved(state: object, *, new: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


def known_state(network: nn.Module, *, counters: bool = True) -> dict[str, torch.Tensor]:
    """Random biases and weights; the first bias of every layer is zero, one is the smallest negative number."""
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(t.shape, generator=generator) for name, t in network.state_dict().items()}
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            state[f"{name}.bias"][:2] = torch.tensor([0.0, -1e-45])
    return {name: t for name, t in state.items() if counters or not name.endswith("num_batches_tracked")}


@dataclass
class Place:
    """A server of a checkpoint, the cache that it is downloaded to, and where the table is kept."""

    server: Server
    file: Path
    kept: Path

    def read(self) -> Norms:
        return read("small", kept=[self.kept.with_name("reference"), self.kept])

    def left(self) -> list[str]:
        """What is in the cache, apart from the empty file that keeps processes apart."""
        return sorted(f.name for f in self.file.parent.glob("*") if (f.suffix, f.stat().st_size) != (".lock", 0))


def name_of(content: bytes) -> str:
    return f"small-{hashlib.sha256(content).hexdigest()[:8]}.pth"


@contextmanager
def placed(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None = None) -> Iterator[Place]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(import_torchvision().models, "get_model", lambda model: small_network())
    name = name or name_of(content)
    with serving(content) as server:
        monkeypatch.setattr(
            checkpoints, "checkpoint_url", lambda model: f"http://127.0.0.1:{server.server_port}/models/{name}"
        )
        yield Place(server, tmp_path / "torch" / "hub" / "checkpoints" / name, tmp_path / "kept" / "small")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """The small network's checkpoint."""
    with placed(saved(known_state(small_network())), tmp_path, monkeypatch) as made:
        yield made


def cached(place: Place, content: bytes | None = None) -> None:
    """Put a file into the cache."""
    place.file.parent.mkdir(parents=True, exist_ok=True)
    place.file.write_bytes(place.server.content if content is None else content)


def assert_known(norms: Norms, network: nn.Module) -> None:
    """The table is the BatchNorm of the known state, layer by layer."""
    state, layers = known_state(network), [n for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert list(dict.fromkeys(zip(norms.table["layer"], norms.table["module"], strict=True))) == [*enumerate(layers)]
    for name, rows in norms.table.groupby("module"):
        assert rows["channel"].tolist() == list(range(len(state[f"{name}.bias"])))
        for key in ("weight", "bias"):
            np.testing.assert_array_equal(rows[key].to_numpy(), state[f"{name}.{key}"].numpy(), strict=True)


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("counters", [True, False])
def test_a_download_gives_the_checkpoints_norms(
    new: bool, counters: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = saved(known_state(small_network(), counters=counters), new=new)
    with placed(content, tmp_path, monkeypatch) as place:
        norms = place.read()
        assert_known(norms, small_network())
        assert place.left() == [place.file.name]
        assert place.file.read_bytes() == content
    assert norms.origin == {
        "model": "small", "weights": "IMAGENET1K_V1", "checkpoint": place.file.name,
        "sha256": hashlib.sha256(content).hexdigest(), "torchvision": import_torchvision().__version__,
    }  # fmt: skip


def test_norms_of_resnet18_are_in_the_order_of_its_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = import_torchvision().models.resnet18()
    content = saved(known_state(network))
    with monkeypatch.context() as patch, placed(content, tmp_path, patch, name_of(content)) as place:
        patch.setattr(import_torchvision().models, "get_model", lambda model: import_torchvision().models.resnet18())
        assert_known(place.read(), network)


@pytest.mark.parametrize(
    ("model", "name"), [("vgg11_bn", "vgg11_bn-6002323d.pth"), ("vgg16_bn", "vgg16_bn-6c64b313.pth")]
)
def test_the_weights_are_those_named_by_torchvision(model: str, name: str) -> None:
    assert checkpoints.checkpoint_url(model).endswith(f"/{name}")
    assert len(norm_layers(model)) == int(model[3:5]) - 3  # VGG-n has n layers, three of them linear


def test_the_table_is_kept_and_the_checkpoint_may_be_deleted(place: Place) -> None:
    first = place.read()
    place.file.unlink()
    again = place.read()
    assert place.server.requests == 1
    assert again.table.equals(first.table)
    assert again.origin == first.origin
    assert not place.file.exists()


def test_a_cached_checkpoint_is_not_downloaded(place: Place) -> None:
    cached(place)
    assert_known(place.read(), small_network())
    assert place.server.requests == 0


def test_two_processes_download_once(place: Place) -> None:
    arguments = checkpoints.checkpoint_url("small"), place.file
    threads = [threading.Thread(target=checkpoints.download, args=arguments) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (place.left(), place.server.requests) == ([place.file.name], 1)
    assert_known(place.read(), small_network())


# --- downloads that fail ---------------------------------------------------------------------------------------------


@contextmanager
def refused(words: str, kind: type[UserError] = UnreachableError) -> Iterator[None]:
    """Fails unless the block raises just this kind of error, in one line that matches."""
    with pytest.raises(UserError, match=words) as error:
        yield
    assert type(error.value) is kind
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_download_cut_short_each_time_leaves_nothing_and_the_next_download_succeeds(
    place: Place, share: float
) -> None:
    whole = len(place.server.content)
    place.server.sent = int(share * whole)
    sizes = f"{place.server.sent:,} of {whole:,} bytes"
    with refused(
        rf"^small-.*\.pth cannot be downloaded \(what arrived is cut short: {sizes}\); .*weights` to published"
    ):
        place.read()
    assert place.server.requests == 3
    assert place.left() == []
    assert not place.kept.exists()
    place.server.sent = whole
    assert_known(place.read(), small_network())


@pytest.mark.parametrize("failing", [1, 2])
@pytest.mark.parametrize("stalls", [False, True])
def test_a_download_that_breaks_off_or_stalls_is_tried_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, failing: int, stalls: bool
) -> None:
    monkeypatch.setattr(checkpoints, "PATIENCE", 0.3)
    place.server.failing, place.server.sent = failing, 1000
    if stalls:
        place.server.stalled.clear()
    assert_known(place.read(), small_network())
    assert place.server.requests == failing + 1
    assert place.left() == [place.file.name]


def test_altered_weights_are_not_replaced_by_published_numbers(place: Place) -> None:
    place.server.content = saved({name: t + 1 for name, t in known_state(small_network()).items()})
    place.server.sent = len(place.server.content)
    words = r"what arrived is cut short or altered \(its sha256 begins with [0-9a-f]{8}, not with [0-9a-f]{8}\)"
    with refused(words, UserError):
        place.read()
    assert (place.left(), place.server.requests) == ([], 1)


def extract_by_default(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """Tabulate a network as `snakemake` does without any choice; the manifest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(artefacts, "pretrained_folders", lambda root, model: [place.kept])
    verbs.extract(Project(ROOT), "bn-bias-vgg", "vgg11", [0])
    (manifest,) = tmp_path.glob("results/**/run.json")
    return json.loads(manifest.read_text())


def test_by_default_altered_weights_are_an_error(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.server.content = place.server.content[:-1] + b"?"
    with refused("what arrived is cut short or altered", UserError):
        extract_by_default(place, tmp_path, monkeypatch)
    assert not list(tmp_path.glob("results/**/run.json"))


def test_by_default_published_numbers_stand_in_after_the_last_attempt(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.server.sent = 1000
    manifest = extract_by_default(place, tmp_path, monkeypatch)
    assert manifest["no_weights"].startswith("no download: what arrived is cut short: 1,000 of ")
    assert place.server.requests == 3


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>Please log in</html>", b"\n <html>404</html>"])
def test_an_html_page_instead_of_weights_is_named(place: Place, page: bytes) -> None:
    place.server.content, place.server.sent = page, len(page)
    with refused(r"what arrived is an HTML page, not weights", UserError):
        place.read()
    assert place.left() == []


def test_leftovers_of_a_killed_run_are_downloaded_anew(place: Place) -> None:
    half = place.file.with_name(f".{place.file.name}.download")
    half.mkdir(parents=True)
    (half / f"{place.file.name}.0123.partial").write_bytes(place.server.content[:100])
    assert_known(place.read(), small_network())
    assert place.left() == [place.file.name]


@pytest.mark.parametrize("status", [404, 503])
def test_a_server_without_the_file_gives_a_one_line_error(place: Place, status: int) -> None:
    place.server.status = status
    with refused(rf"the server answers {status}"):
        place.read()
    assert place.server.requests == 1


def test_a_stalled_download_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "PATIENCE", 0.2)
    place.server.sent = 1000
    place.server.stalled.clear()
    with refused(r"\(timed out\)"):
        place.read()
    assert (place.left(), place.server.requests) == ([], 3)


def test_a_missing_network_gives_a_one_line_error(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "checkpoint_url", lambda model: f"http://127.0.0.1:9/{place.file.name}")
    with refused(r"cannot be downloaded \(Connection refused\); connect to the network, or set"):
        place.read()


def test_published_numbers_do_not_stand_in_on_a_full_disk(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(answer: object, file: io.BufferedWriter, length: int) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("luckmatters.downloads.shutil.copyfileobj", full)
    with refused(
        r"\(No space left on device\); free 0.6 GB at .*checkpoints and make it writable, or set TO", UserError
    ):
        place.read()
    assert place.left() == []


def test_a_cache_that_is_a_file_is_named(place: Place) -> None:
    place.file.parents[2].write_text("not a folder")
    with refused(r"make it writable", UserError):
        place.read()


# --- bad files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is cut short or altered"),
        (saved(known_state(small_network()))[:-50], "is cut short or altered"),
        (b"<!doctype html>", "is an HTML page, not weights"),
    ],
)
def test_a_damaged_file_in_the_cache_is_refused_and_left_alone(place: Place, content: bytes, words: str) -> None:
    cached(place, content)
    with refused(rf"checkpoints/small-[0-9a-f]{{8}}.pth: {words}.*; delete it and run snakemake again", UserError):
        place.read()
    assert place.file.read_bytes() == content
    assert place.server.requests == 0


class Harmful:
    def __reduce__(self) -> tuple:
        return (print, ("this must never be run",))


def other(name: str, tensor: torch.Tensor | None) -> dict[str, torch.Tensor]:
    state = known_state(small_network())
    state.pop(name, None)
    return state | ({} if tensor is None else {name: tensor})


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (other("4.bias", torch.zeros(6)), r"another network than small \(4.bias: shape \(6,\), must be \(5,\)\)"),
        (other("4.bias", None), r"another network than small \(4.bias: shape missing, must be \(5,\)\)"),
        (other("9.bias", torch.zeros(6)), r"another network than small \(9.bias: shape \(6,\), must be absent\)"),
        ({"epoch": 3}, "holds no weights that torch can load safely"),
        ([1, 2], "holds no weights that torch can load safely"),
        ({"4.bias": Harmful()}, "holds no weights that torch can load safely"),
    ],
)
@pytest.mark.parametrize("new", FORMATS.values(), ids=FORMATS)
def test_a_file_of_another_kind_is_refused(
    state: object, words: str, new: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    with placed(saved(state, new=new), tmp_path, monkeypatch) as place, refused(words, UserError):
        place.read()
    assert "never be run" not in capfd.readouterr().out
    assert not place.kept.exists()


def test_text_under_the_right_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with placed(b"no pickle", tmp_path, monkeypatch) as place, refused("holds no weights", UserError):
        place.read()


def test_a_kept_table_must_be_what_the_checkpoint_holds(place: Place) -> None:
    norms = place.read()
    place.kept.rename(place.kept.with_name("reference"))
    assert place.read().table.equals(norms.table)
    norms.table.loc[0, "bias"] = 0.5
    pretrained.keep(place.kept.with_name("reference"), norms)
    with refused(r"reference: is not what .*small-.*pth holds; delete", UserError):
        place.read()


def test_an_altered_or_foreign_table_is_refused(place: Place) -> None:
    place.read()
    place.file.unlink()
    table, bundle = place.kept / "table.parquet", artefacts.Bundle(place.kept)
    content, origin = table.read_bytes(), bundle.manifest()
    table.write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"table.parquet: is truncated or altered"):
        place.read()
    table.write_bytes(content)
    bundle.save({"table.parquet": content}, {**origin, "checkpoint": "vgg11_bn-6002323d.pth"})
    with refused(r"is not the table of small from small-", UserError):
        place.read()
