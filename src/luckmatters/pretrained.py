"""BatchNorm of torchvision's pretrained networks, from a checkpoint of up to half a gigabyte or a small kept table."""

import hashlib
import http.client
import io
import pickle
import shutil
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import pandas as pd
import torch

from luckmatters.artefacts import MANIFEST, TABLE, Bundle
from luckmatters.downloads import fetch, is_local, only_process, reason
from luckmatters.errors import UserError
from luckmatters.torchvision_shim import import_torchvision

WEIGHTS = "IMAGENET1K_V1"
PATIENCE = 15.0  # seconds without a byte after which an attempt is given up
ATTEMPTS = 3  # at each download, if the connection breaks off or stalls
# What torch.load raises for files that are no checkpoints, or that hold more than tensors.
NOT_WEIGHTS = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, OSError)


class UnreachableError(UserError):
    """Failure to reach the weights over the network. Only then do published numbers stand in; why: the reason."""

    def __init__(self, file: str, why: str) -> None:
        super().__init__(_cannot(file, why, "connect to the network"))
        self.why = why


@dataclass(frozen=True)
class Norms:
    """The BatchNorm layers of a pretrained network.

    table: columns layer (0 = lowest, in the order of the network's modules), module, channel, weight, bias (float32);
    origin: model, weights, checkpoint (file name), sha256 of the checkpoint, and torchvision (version).
    """

    table: pd.DataFrame
    origin: dict[str, str]


def read(model: str, *, kept: Sequence[Path]) -> Norms:
    """The BatchNorm layers of a model: from the checkpoint in torch's cache, from a kept table, or downloaded.

    kept: folders that may hold a table, the preferred folder first. A table from a checkpoint is kept in the last
    folder, so that the checkpoint may be deleted. A checkpoint and a kept table must agree. Raises UnreachableError if
    the network fails, and UserError for files that are altered or of another model, or if the disk is full.
    """
    url = checkpoint_url(model)
    path = cache() / Path(urlparse(url).path).name
    tables = {folder: _read_kept(folder, model, path.name) for folder in kept if (folder / MANIFEST).exists()}
    if not path.exists():
        if tables:
            return next(iter(tables.values()))
        download(url, path)
    norms = extract(path, model)
    for folder, table in tables.items():
        if table.origin["sha256"] != norms.origin["sha256"] or not table.table.equals(norms.table):
            raise UserError(f"{folder}: is not what {path} holds; delete the folder, or the checkpoint if it is wrong")
    if not tables:
        _keep(kept[-1], norms)
    return norms


def describe(norms: Norms) -> str:
    """Origin of the layers in one line."""
    origin = norms.origin
    checkpoint = f"{origin['checkpoint']}, sha256 {origin['sha256'][:12]}…"
    return f"{origin['model']}, torchvision {origin['weights']} ({checkpoint})"


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
    layers, state = norm_layers(model), load(path, model)
    frames = [
        pd.DataFrame(
            {
                "layer": layer,
                "module": module,
                "channel": range(channels),
                "weight": state[f"{module}.weight"].float().numpy(),
                "bias": state[f"{module}.bias"].float().numpy(),
            }
        )
        for layer, (module, channels) in enumerate(layers)
    ]
    origin = {"model": model, "weights": WEIGHTS, "checkpoint": path.name, "sha256": digest}
    origin["torchvision"] = import_torchvision().__version__
    return Norms(pd.concat(frames, ignore_index=True), origin)


def load(path: Path, model: str) -> dict[str, torch.Tensor]:
    """Tensors of a checkpoint, mapped into memory if the format allows. Raises UserError for another model."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        shapes = _shapes(state)
    except NOT_WEIGHTS:
        fault = "holds no weights that torch can load safely"
        raise UserError(f"{path}: {fault}; delete it and run snakemake again") from None
    expected = _shapes(_network(model).state_dict())
    if shapes != expected:
        name = next(name for name in [*expected, *shapes] if shapes.get(name) != expected.get(name))
        raise UserError(
            f"{path}: holds another network than {model} ({name}: shape {shapes.get(name, 'missing')}, must be "
            f"{expected.get(name, 'absent')}); delete it and run snakemake again"
        )
    return state


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes of tensors by name, without the counts of batches, which older checkpoints lack."""
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def _network(model: str) -> torch.nn.Module:
    """Module of a model, without memory for weights."""
    with torch.device("meta"):
        return import_torchvision().models.get_model(model)


def norm_layers(model: str) -> list[tuple[str, int]]:
    """Names and channels of a model's BatchNorm layers, in the order of the modules."""
    modules = _network(model).named_modules()
    return [(name, module.num_features) for name, module in modules if isinstance(module, torch.nn.BatchNorm2d)]


def _keep(folder: Path, norms: Norms) -> None:
    buffer = io.BytesIO()
    norms.table.to_parquet(buffer, index=False)
    Bundle(folder).save({TABLE: buffer.getvalue()}, norms.origin)


def _read_kept(folder: Path, model: str, checkpoint: str) -> Norms:
    """Layers in a kept table. Raises UserError if the table is altered, or of another model or checkpoint."""
    bundle = Bundle(folder)
    manifest, content = bundle.manifest(), bundle.read(TABLE)
    table = pd.read_parquet(io.BytesIO(content))
    layers = list(table.groupby(["layer", "module"], sort=False).size().items())
    origin = {key: value for key, value in manifest.items() if key != "files"}
    if origin.get("checkpoint") != checkpoint or [(name, n) for (_, name), n in layers] != norm_layers(model):
        raise UserError(f"{folder}: is not the table of {model} from {checkpoint}; delete it")
    return Norms(table, origin)
