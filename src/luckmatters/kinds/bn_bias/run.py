"""Kind ``bn-bias``: the BatchNorm biases of a pretrained network, layer by layer, beside published numbers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from luckmatters.science.biases import MOMENTS, signs


def tabulate(norms: pd.DataFrame | None, published: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """A tidy table of a network, lowest layer first.

    norms: the BatchNorm layers (columns layer, module, channel, weight, bias), None without weights.
    published: tables of the network with columns layer, module, channels and numbers (not_positive, or MOMENTS).
    Columns: seed (0, the only seed), layer, module, node (channel; <NA> for the whole layer), quantity, value.
    Quantities: bias and weight of every channel; channels; negative, zero and positive (counts of biases); means and
    standard deviations (divisor n − 1) as in MOMENTS; published numbers as published_<name>.
    """
    frames = [_published(table) for table in published]
    if norms is not None:
        frames = [_channels(norms), _layers(norms), *frames]
    table = pd.concat(frames, ignore_index=True).drop_duplicates(["layer", "node", "quantity"])
    table = table.assign(seed=0).astype({"layer": "Int64", "node": "Int64"})
    return table[["seed", "layer", "module", "node", "quantity", "value"]]


def _channels(norms: pd.DataFrame) -> pd.DataFrame:
    tall = norms.melt(["layer", "module", "channel"], ["bias", "weight"], var_name="quantity")
    return tall.rename(columns={"channel": "node"}).astype({"value": np.float64})


def _layers(norms: pd.DataFrame) -> pd.DataFrame:
    """Rows of the counts and averages over the channels of each layer."""
    table = []
    for (layer, module), rows in norms.groupby(["layer", "module"]):
        values = {"layer": layer, "module": module, **signs(rows["bias"].to_numpy())}
        for name in ("bias", "weight"):
            exact = rows[name].to_numpy(np.float64)
            values |= {f"{name}_mean": exact.mean(), f"{name}_std": exact.std(ddof=1)}
        table.append(values)
    return _rows(pd.DataFrame(table))


def _published(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the published numbers of every layer. Shares are given as counts, which have no rounding."""
    names = {name: f"published_{name}" for name in ("not_positive", *MOMENTS) if name in table}
    return _rows(table[["layer", "module", "channels", *names]].rename(columns=names))


def _rows(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each number of a layer; table: layer, module, and a column for each quantity."""
    tall = table.melt(["layer", "module"], var_name="quantity").sort_values("layer", kind="stable")
    return tall.assign(node=pd.NA).astype({"value": np.float64})
