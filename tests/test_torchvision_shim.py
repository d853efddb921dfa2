"""torchvision can be imported beside any torch, and faults of other kinds stay what they are."""

import sys
from pathlib import Path

import pytest

from luckmatters import torchvision_shim
from luckmatters.torchvision_shim import import_torchvision

MISSING = "operator torchvision::nms does not exist"


def test_models_datasets_and_transforms_work() -> None:
    torchvision = import_torchvision()
    assert torchvision is import_torchvision()
    assert len(torchvision.models.vgg11(num_classes=10, init_weights=False).features) == 21
    assert torchvision.datasets.CIFAR10.base_folder == "cifar-10-batches-py"
    assert torchvision.transforms.Compose([]).transforms == []


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for torchvision's package, whose __init__.py the test writes; the true one is put back at the end."""
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "torchvision"
    folder.mkdir()
    (folder / "extension.py").write_text("")
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


def test_operators_are_declared_once_and_half_imported_modules_are_reimported(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package / "__init__.py").write_text(
        "import sys\nfrom torchvision import extension\n"
        f"if not sys.declared: raise RuntimeError('{MISSING}')\nextension.seen = len(sys.declared)\n"
    )
    stale = []

    def declare() -> None:
        stale.extend(name for name in sys.modules if name.startswith("torchvision"))
        sys.declared.append(1)

    monkeypatch.setattr(sys, "declared", [], raising=False)
    monkeypatch.setattr(torchvision_shim, "_declare_operators", declare)
    assert import_torchvision().extension.seen == 1
    assert import_torchvision().extension.seen == 1
    assert stale == []


@pytest.mark.parametrize(
    ("fault", "kind"), [("RuntimeError('another')", RuntimeError), ("ImportError('another')", ImportError)]
)
def test_other_errors_of_the_import_pass_through(
    package: Path, monkeypatch: pytest.MonkeyPatch, fault: str, kind: type
) -> None:
    (package / "__init__.py").write_text(f"raise {fault}\n")
    monkeypatch.setattr(torchvision_shim, "_declare_operators", lambda: pytest.fail("declared"))
    with pytest.raises(kind, match="another"):
        import_torchvision()
