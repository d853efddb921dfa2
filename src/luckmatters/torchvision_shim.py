"""Import of torchvision beside a torch that was built for another kind of device."""

from __future__ import annotations

import sys
from types import ModuleType

_MISSING = "operator torchvision::nms does not exist"
# Declarations of torchvision's C++ extension that the import of torchvision needs.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[object] = []  # an operator lives as long as the library that declared it


def import_torchvision() -> ModuleType:
    """The torchvision module.

    PyPI's wheel is built for CUDA. Beside a CPU-only torch the wheel's extension cannot be loaded, and the import stops
    at an operator that the extension declares. With a bare declaration of the operator, models, datasets and transforms
    work. The operators (boxes and regions of detection networks) do not. Any other failure passes through.
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
    """Remove torchvision's submodules from sys.modules, where Python keeps them after a failed import."""
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


def _declare_operators() -> None:
    """Declare the operators in _SCHEMAS to torch."""
    from torch.library import Library

    library = Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _libraries.append(library)
