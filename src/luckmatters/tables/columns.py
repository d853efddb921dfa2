"""The columns of all tables. Imports nothing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of tables.

    key: tells values apart in summaries; published: tells published levels apart. Summaries average over seeds and
    over what is neither a key nor the value.
    """

    name: str
    key: bool = False
    published: bool = False


COLUMNS = (
    Column("experiment"),
    Column("variant", key=True, published=True),
    Column("branch", key=True),
    Column("seed"),
    Column("start", key=True, published=True),
    Column("replica"),
    Column("epoch", key=True, published=True),
    Column("layer", key=True, published=True),
    Column("module"),
    Column("node"),
    Column("rank", key=True),
    Column("quantity", key=True, published=True),
    Column("value"),
)
NAMES = tuple(column.name for column in COLUMNS)  # in their order; no axis of a grid may have such a name
SUMMARY_KEYS = tuple(column.name for column in COLUMNS if column.key)
PUBLISHED_KEYS = tuple(column.name for column in COLUMNS if column.published)
