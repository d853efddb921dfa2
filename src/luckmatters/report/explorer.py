"""Curves seed by seed, as the data of the page's explorer."""

import json

import numpy as np
import pandas as pd

from luckmatters.drawing.style import NETWORK_QUANTITIES, QUANTITIES, label_name
from luckmatters.tables.columns import COLUMNS, present
from luckmatters.tables.results import Results

LEAST_EPOCHS = 3  # fewer are no curve
MOST_EPOCHS = 60  # of a curve: more cannot be told apart on a page
MOST_NUMBERS = 120_000  # of a page, about 0.7 MB
FIRST = (*QUANTITIES, *NETWORK_QUANTITIES)
GROUPS = ("variant", "branch", "start")  # what one picture shows a single value of


def curves(results: Results) -> dict | None:
    """Curves of an experiment for each seed; None if there are none.

    Keys: ``curves`` (quantity → picture → layer, empty for the whole network → epochs, and values of each seed),
    ``left_out`` (quantities that would make the page too large). Rows of nodes are averaged, as in summaries.
    """
    table, keys = results.table, [*present(GROUPS, results.table), "quantity", "layer"]
    others = [column.name for column in COLUMNS if column.key and column.name not in (*keys, "epoch")]
    table = table[table[present(others, table)].isna().all(axis=1)]
    if "epoch" not in table or table.empty:
        return None
    means = table.groupby([*keys, "epoch", "seed"], dropna=False, sort=False)["value"].mean()
    wide = means.unstack("seed").reset_index().sort_values("epoch", kind="stable")
    seeds = [column for column in wide if column not in (*keys, "epoch")]
    numbers, epochs = wide[seeds].to_numpy(float), wide["epoch"].to_numpy(float)
    curve_of_row, names = wide.groupby(keys, dropna=False, sort=False).ngroup().to_numpy(), wide[keys].to_numpy(object)
    found: dict = {}
    for index in range(curve_of_row.max() + 1):
        rows = np.flatnonzero(curve_of_row == index)
        *group, quantity, layer = names[rows[0]]
        rows = _thinned(rows[~np.isnan(numbers[rows]).all(axis=1)])
        if len(rows) < LEAST_EPOCHS:
            continue
        name = " · ".join([_words(results, group[0]), *(str(part) for part in group[1:] if pd.notna(part))])
        layers = found.setdefault(quantity, {}).setdefault(name, {})
        layers["" if pd.isna(layer) else str(layer)] = {
            "epochs": epochs[rows].tolist(),
            "seeds": {
                str(seed): _short(line)
                for seed, line in zip(seeds, numbers[rows].T, strict=True)
                if not np.isnan(line).all()
            },
        }
    return _limited(found) if found else None


def _words(results: Results, variant: str) -> str:
    """A variant by its labels in words, and its name."""
    words = ", ".join(label_name(results, label) for label in results.labels[variant].values())
    return f"{words} ({variant})" if words and words != variant else variant


def _thinned(rows: np.ndarray) -> np.ndarray:
    """At most MOST_EPOCHS of the entries, evenly spaced, the first and the last among them."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(MOST_EPOCHS, len(rows))).round().astype(int))]


def _short(values) -> list[float | None]:
    """Numbers with four digits; None where there is none."""
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in map(float, values)]


def _limited(found: dict) -> dict:
    """The curves of as many quantities as fit a page, those that figures draw first."""
    kept, left_out, numbers = {}, [], 0
    for quantity in sorted(found, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name)):
        groups = found[quantity]
        size = sum(len(values) for g in groups.values() for c in g.values() for values in c["seeds"].values())
        if kept and numbers + size > MOST_NUMBERS:
            left_out.append(quantity)
        else:
            kept[quantity], numbers = groups, numbers + size
    return {"curves": kept, "left_out": left_out}


def to_json(data: dict) -> str:
    """Data as JSON that may stand in a script element."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
