"""Long tables: a row for every number that a job measured."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

COLUMNS = ("seed", "start", "replica", "epoch", "layer", "node", "rank", "quantity", "value")


def rows(
    quantity: str, value: Tensor | np.ndarray, layer: int | None = None, **axes: Iterable[int | float | str]
) -> pd.DataFrame:
    """A row for each number of a tensor.

    axes: the tensor's axes in their order, by the name of their column, each with its labels; one of a single label
    need not be in the tensor. layer: None for the whole network. Columns: as in COLUMNS, those that there are.
    Raises ValueError if the tensor has not as many numbers as there are combinations of labels.
    """
    index = pd.MultiIndex.from_product(axes.values(), names=axes)
    numbers = torch.as_tensor(value).double().flatten().numpy()
    if len(numbers) != len(index):
        raise ValueError(f"{quantity} has {len(numbers)} numbers for {len(index)} combinations of {', '.join(axes)}")
    frame = pd.DataFrame({"value": numbers}, index=index).reset_index().assign(quantity=quantity)
    frame["layer"] = pd.array([layer] * len(frame), dtype="Int64")
    return frame[[name for name in COLUMNS if name in frame]]


def joined(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Tables of some of the COLUMNS as one: what has no node, start or rank has <NA> there."""
    table = pd.concat(frames, ignore_index=True)
    table = table[[name for name in COLUMNS if name in table]]
    return table.astype({"node": "Int64"}) if "node" in table else table
