"""Roles of the BatchNorm layers of EfficientNet-Lite: by the names of modules, as the weights' files give them."""

from collections.abc import Sequence

import pandas as pd

# In a block: a wide layer, a layer of a filter a channel, and a narrow layer, which no ReLU follows.
IN_BLOCK = {"_bn0": "expansion", "_bn1": "depthwise", "_bn2": "projection"}
OUTSIDE = {"_bn0": "stem", "_bn1": "head"}
BEFORE_RELU, WITHOUT_RELU = ("expansion", "depthwise"), "projection"


def by_role(table: pd.DataFrame) -> pd.DataFrame:
    """The whole layers of a network, the lowest first: columns layer, block (<NA> for stem and head), role, share.

    table: a network's rows of the table that the kind ``bn-bias`` writes. share: of strictly negative biases.
    Raises KeyError for a module of another network.
    """
    whole = table[table["node"].isna()]
    layers = whole.pivot(index=["layer", "module"], columns="quantity", values="value").reset_index()
    names = layers["module"].str.extract(r"^(?:_blocks\.(\d+)\.)?(\w+)$")
    pairs = list(names.itertuples(index=False, name=None))
    roles = [(OUTSIDE if pd.isna(block) else IN_BLOCK)[name] for block, name in pairs]
    share = layers["negative"] / layers["channels"]
    return pd.DataFrame({"layer": layers["layer"], "block": names[0].astype("Int64"), "role": roles, "share": share})


def above_projection(layers: pd.DataFrame, roles: Sequence[str]) -> pd.Series:
    """Share of negative biases of a block's layers with these roles minus the projection's: index block, lowest first.

    layers: a network's, by :func:`by_role`. The mean over the roles that a block has; a block with none is left out.
    """
    shares = layers.dropna(subset="block").pivot(index="block", columns="role", values="share")
    return (shares[[*roles]].mean(axis=1) - shares[WITHOUT_RELU]).dropna()
