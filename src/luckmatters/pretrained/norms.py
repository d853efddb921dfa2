"""A table of a network's BatchNorm layers, made of the tensors of a checkpoint, and kept in a small file."""

import io
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from luckmatters.artefacts import TABLE, Bundle

# What torch.load raises for files that are no checkpoints, or that hold more than tensors.
NOT_WEIGHTS = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, OSError)


@dataclass(frozen=True)
class Norms:
    """The BatchNorm layers of a pretrained network.

    table: columns layer (0 = lowest, in the order of the network's modules), module, channel, weight, bias (float32);
    origin: model, weights, checkpoint (file name), sha256 of the checkpoint, and what provided it (torchvision: the
    version; or package: the name).
    """

    table: pd.DataFrame
    origin: dict[str, str]

    @property
    def layers(self) -> list[tuple[str, int]]:
        """Names of the modules and numbers of channels, layer by layer."""
        sizes = self.table.groupby(["layer", "module"], sort=False).size()
        return [(module, channels) for (_, module), channels in sizes.items()]


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, mapped into memory if the format allows. No code in the file is run.

    Raises ValueError for a file that is no checkpoint, or that holds more than named tensors.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        shapes(state)
    except NOT_WEIGHTS:
        raise ValueError("holds no weights that torch can load safely") from None
    return state


def shapes(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes of tensors by name, without the counts of batches, which older checkpoints lack."""
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def tabulate(state: Mapping[str, torch.Tensor], modules: Iterable[str]) -> pd.DataFrame:
    """The table of Norms for BatchNorm modules, the lowest first."""
    frames = []
    for layer, module in enumerate(modules):
        weight, bias = (state[f"{module}.{name}"].float().numpy() for name in ("weight", "bias"))
        frame = pd.DataFrame({"layer": layer, "module": module, "channel": range(len(bias))})
        frames.append(frame.assign(weight=weight, bias=bias))
    return pd.concat(frames, ignore_index=True)


def keep(folder: Path, norms: Norms) -> None:
    """Keep a table, whole or not at all. Weights and biases have no repetitions, which dictionaries would save."""
    buffer = io.BytesIO()
    norms.table.to_parquet(buffer, index=False, compression="zstd", use_dictionary=["layer", "module"])
    Bundle(folder).save({TABLE: buffer.getvalue()}, norms.origin)


def read_kept(folder: Path) -> Norms:
    """The layers in a kept table. Raises UserError if the table is altered."""
    bundle = Bundle(folder)
    manifest, content = bundle.manifest(), bundle.read(TABLE)
    return Norms(pd.read_parquet(io.BytesIO(content)), {key: its for key, its in manifest.items() if key != "files"})
