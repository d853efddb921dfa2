"""Torchvision's checkpoints of pretrained networks, up to half a gigabyte each, downloaded into torch's cache."""

import hashlib
import http.client
import shutil
import sys
from pathlib import Path
from urllib.parse import urlparse

import torch

from luckmatters.downloads import fetch, is_local, only_process, reason
from luckmatters.errors import UserError
from luckmatters.pretrained.norms import Norms, shapes, tabulate, tensors
from luckmatters.torchvision_shim import import_torchvision

WEIGHTS = "IMAGENET1K_V1"
PATIENCE = 15.0  # seconds without a byte after which an attempt is given up
ATTEMPTS = 3  # at each download, if the connection breaks off or stalls


class UnreachableError(UserError):
    """Failure to reach the weights over the network. Only then do published numbers stand in; why: the reason."""

    def __init__(self, file: str, why: str) -> None:
        super().__init__(_cannot(file, why, "connect to the network"))
        self.why = why


def file_name(model: str) -> str:
    """Name of a model's checkpoint."""
    return Path(urlparse(checkpoint_url(model)).path).name


def on_this_machine(model: str) -> Path | None:
    """The checkpoint in torch's cache, or None."""
    path = cache() / file_name(model)
    return path if path.exists() else None


def obtain(model: str) -> Path:
    """The checkpoint, downloaded to torch's cache. Raises what :func:`download` raises."""
    path = cache() / file_name(model)
    download(checkpoint_url(model), path)
    return path


def owns(norms: Norms, model: str) -> bool:
    """Whether a table is of the model's checkpoint and has its layers."""
    return norms.origin.get("checkpoint") == file_name(model) and norms.layers == norm_layers(model)


def checkpoint_url(model: str) -> str:
    """URL of a model's weights, by torchvision."""
    return import_torchvision().models.get_model_weights(model)[WEIGHTS].url


def cache() -> Path:
    """Torch's folder of checkpoints, below TORCH_HOME if that is set."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def check(path: Path) -> str:
    """SHA-256 of a checkpoint. Raises ValueError with the fault if it lacks the first digits in the file's name."""
    digits = torch.hub.HASH_REGEX.search(path.name).group(1)
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest.startswith(digits):
        return digest
    if start.startswith((b"<!doctype", b"<html")):
        raise ValueError("is an HTML page, not weights")
    raise ValueError(f"is cut short or altered (its sha256 begins with {digest[: len(digits)]}, not with {digits})")


def download(url: str, path: Path) -> None:
    """Download a checkpoint, check the download, then move the file to the path. One process downloads at a time.

    An interrupted download starts anew. Raises UnreachableError if there is no connection, or if every attempt breaks
    off; UserError if the folder is at fault, or if the complete download is not the checkpoint.
    """
    temporary = path.with_name(f".{path.name}.download")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with only_process(path.with_name(f".{path.name}.lock")):
            if path.exists():  # another process has downloaded the file meanwhile
                return
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            try:
                print(f"downloading {path.name} to {path.parent}", file=sys.stderr, flush=True)
                fetch(url, temporary / path.name, seconds=PATIENCE, attempts=ATTEMPTS)
                check(temporary / path.name)
                (temporary / path.name).replace(path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except ValueError as error:
        remedy = "see what the network puts in its place and run snakemake again"
        raise UserError(_cannot(path.name, f"what arrived {error}", remedy)) from None
    except (OSError, http.client.HTTPException) as error:
        if is_local(error):
            remedy = f"free 0.6 GB at {path.parent} and make it writable, or set TORCH_HOME"
            raise UserError(_cannot(path.name, reason(error), remedy)) from None
        raise UnreachableError(path.name, reason(error)) from None


def _cannot(file: str, why: str, remedy: str) -> str:
    return f"{file} cannot be downloaded ({why}); {remedy}, or set `weights` to published in config/config.yaml"


def extract(path: Path, model: str) -> Norms:
    """The BatchNorm layers in a checkpoint. Raises UserError if the file is damaged or holds another network."""
    try:
        digest = check(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}; delete it and run snakemake again") from None
    table = tabulate(load(path, model), (module for module, _ in norm_layers(model)))
    origin = {"model": model, "weights": WEIGHTS, "checkpoint": path.name, "sha256": digest}
    return Norms(table, {**origin, "torchvision": import_torchvision().__version__})


def load(path: Path, model: str) -> dict[str, torch.Tensor]:
    """Tensors of a checkpoint, mapped into memory if the format allows. Raises UserError for another model."""
    try:
        state = tensors(path)
    except ValueError as error:
        raise UserError(f"{path}: {error}; delete it and run snakemake again") from None
    found, expected = shapes(state), shapes(_network(model).state_dict())
    if found != expected:
        name = next(name for name in [*expected, *found] if found.get(name) != expected.get(name))
        raise UserError(
            f"{path}: holds another network than {model} ({name}: shape {found.get(name, 'missing')}, must be "
            f"{expected.get(name, 'absent')}); delete it and run snakemake again"
        )
    return state


def _network(model: str) -> torch.nn.Module:
    """Module of a model, without memory for weights."""
    with torch.device("meta"):
        return import_torchvision().models.get_model(model)


def norm_layers(model: str) -> list[tuple[str, int]]:
    """Names and channels of a model's BatchNorm layers, in the order of the modules."""
    modules = _network(model).named_modules()
    return [(name, module.num_features) for name, module in modules if isinstance(module, torch.nn.BatchNorm2d)]
