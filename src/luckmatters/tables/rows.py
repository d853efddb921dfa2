"""Long tables: a row for every number that a job measured."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from luckmatters.tables.columns import NAMES, present


def rows(
    quantity: str, value: Tensor | np.ndarray, layer: int | None = None, **axes: Iterable[int | float | str]
) -> pd.DataFrame:
    """A table with a row for each number of a tensor, with columns from NAMES.

    layer: None for the whole network.
    axes: the labels of each axis of the tensor, in the order of axes, by a column name in NAMES. The tensor may lack an
    axis that has a single label.
    Raises ValueError if the tensor has other axes, or if a column is unknown.
    """
    tensor, labels = torch.as_tensor(value), {name: list(axis) for name, axis in axes.items()}
    sizes = tuple(map(len, labels.values()))
    if [size for size in tensor.shape if size != 1] != [size for size in sizes if size != 1]:
        raise ValueError(f"{quantity} has the shape {tuple(tensor.shape)}, but {', '.join(axes)} are {sizes}")
    if unknown := axes.keys() - set(NAMES):
        raise ValueError(f"{quantity}: there is no column {', '.join(unknown)}")
    index = pd.MultiIndex.from_product(labels.values(), names=labels)
    frame = pd.DataFrame({"value": tensor.double().flatten().numpy()}, index=index).reset_index()
    frame["quantity"] = quantity
    frame["layer"] = pd.array([layer] * len(frame), dtype="Int64")
    return frame[present(NAMES, frame)]


def joined(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several tables in a single table, with columns in the order of NAMES.

    The node is <NA> in rows that belong to no single node.
    """
    table = pd.concat(frames, ignore_index=True)
    table = table[present(NAMES, table)]
    return table.astype({"node": "Int64"}) if "node" in table else table
