"""Importing torchvision beside a torch that was built for another kind of device."""

from __future__ import annotations

import sys
from types import ModuleType

_MISSING = "operator torchvision::nms does not exist"
# What torchvision's C++ extension declares, as far as the Python side asks for it while it is imported.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[object] = []  # an operator lives as long as the library that declared it


def import_torchvision() -> ModuleType:
    """The torchvision module.

    PyPI's wheel is built for CUDA. Beside a CPU-only torch its extension cannot be loaded, and the import stops at an
    operator that the extension would have declared. With a declaration alone everything but the operators themselves
    (boxes and regions of detection networks) works: models, datasets, transforms. Any other failure passes through.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if _MISSING not in str(error):
            raise
        _forget_half_imported()
        _declare_operators()
        import torchvision
    return torchvision


def _forget_half_imported() -> None:
    """Python drops a package whose import failed, but keeps the submodules that it had got to."""
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


def _declare_operators() -> None:
    from torch.library import Library

    library = Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _libraries.append(library)
