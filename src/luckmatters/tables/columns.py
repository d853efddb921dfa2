"""The columns of all tables; imports no other module of the package."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of tables.

    key: whether summaries tell values apart by the column. Summaries average over other columns, seeds among them.
    published: whether the column tells published levels apart.
    """

    name: str
    key: bool = False
    published: bool = False


COLUMNS = (
    Column("experiment"),
    Column("variant", key=True, published=True),
    Column("branch", key=True),
    Column("group", key=True),
    Column("kept", key=True),
    Column("seed"),
    Column("start", key=True, published=True),
    Column("replica"),
    Column("epoch", key=True, published=True),
    Column("layer", key=True, published=True),
    Column("module"),
    Column("node"),
    Column("rank", key=True),
    Column("radius", key=True),
    Column("quantity", key=True, published=True),
    Column("value"),
)
NAMES = tuple(column.name for column in COLUMNS)  # in the order of tables; no axis of a grid may have such a name
SUMMARY_KEYS = tuple(column.name for column in COLUMNS if column.key)
PUBLISHED_KEYS = tuple(column.name for column in COLUMNS if column.published)


def present(names: Iterable[str], *tables: Collection[str]) -> list[str]:
    """Those names, in order, that are columns of all tables."""
    return [name for name in names if all(name in table for table in tables)]
