"""Merging of settings: a scale's overrides into a file, a grid label's settings into an experiment."""

from collections.abc import Collection, Mapping

from luckmatters.config.files import choose
from luckmatters.errors import UserError


def merge(base: Mapping, overrides: Mapping) -> dict:
    """Base with overrides, merged mapping by mapping. A null removes the key."""
    merged = dict(base)
    for key, value in overrides.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def at_scale(raw: dict, scale: str, scales: Collection[str], where: str) -> dict:
    """A file's content with the overrides of a scale.

    raw: the file's content; scales: names of all scales. Raises UserError if a scale is unknown or its block does not
    say what it reduces.
    """
    blocks = raw.get("scales") or {}
    if not isinstance(blocks, dict):
        raise UserError(f"{where}: scales: must hold keys and values, got {blocks!r}")
    for name, block in blocks.items():
        choose(name, scales, f"{where}: scales")
        if not isinstance(block, dict) or not isinstance(block.get("reduced"), str):
            raise UserError(f"{where}: scales.{name}.reduced: missing; say what this scale changes and why")
        _check_grid(raw.get("grid") or {}, block.get("grid") or {}, f"{where}: scales.{name}.grid")
    overrides = dict(blocks.get(scale, {}))
    overrides.pop("reduced", None)
    return merge(raw, overrides)


def _check_grid(grid: dict, changes: dict, where: str) -> None:
    """Check that a scale adds no axis to the grid and drops only labels that exist. Raises UserError."""
    for axis, labels in changes.items():
        known = grid[choose(str(axis), grid, where)]
        for label in (label for label, change in (labels or {}).items() if change is None):
            choose(str(label), known, f"{where}.{axis}")
