"""Long tables against plain loops."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from luckmatters.tables.columns import NAMES
from luckmatters.tables.rows import joined, rows


def test_rows_equal_those_of_a_loop() -> None:
    value = torch.randn(2, 3, 4)
    seeds, nodes = [7, 2, 5], range(4)
    found = rows("rho", value, 1, epoch=[0, 30], seed=seeds, node=nodes)
    expected = [
        (seeds[s], (0, 30)[t], 1, n, "rho", value[t, s, n].item())
        for t, s, n in itertools.product(range(2), range(3), nodes)
    ]
    assert [name for name in NAMES if name in found] == list(found)
    assert list(found.itertuples(index=False, name=None)) == expected


def test_an_axis_with_a_single_label_may_be_missing() -> None:
    value = np.array([0.5, 1.5])
    pd.testing.assert_frame_equal(
        rows("loss", value, epoch=[3], seed=[0, 1]), rows("loss", value[None], epoch=[3], seed=[0, 1])
    )


def test_numbers_without_labels_are_refused() -> None:
    for shape in ((4,), (6,), (3, 2)):
        with pytest.raises(ValueError, match=r"loss has the shape .*, but epoch, seed are \(2, 3\)"):
            rows("loss", torch.zeros(shape), epoch=range(2), seed=range(3))
    with pytest.raises(ValueError, match="there is no column moment"):
        rows("loss", torch.zeros(2), moment=range(2))


def test_tables_of_nodes_and_of_networks_are_joined() -> None:
    whole, nodes = rows("loss", torch.zeros(2), seed=[0, 1]), rows("norm", torch.ones(2), 0, seed=[0], node=range(2))
    found = joined([whole, nodes])
    assert found["node"].dtype == found["layer"].dtype == "Int64"
    assert found["node"].isna().tolist() == found["layer"].isna().tolist() == [True, True, False, False]
