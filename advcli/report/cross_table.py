"""Records in rows and columns, each by a property of its own."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

Row = TypeVar("Row", bound=Hashable)
Column = TypeVar("Column", bound=Hashable)
Item = TypeVar("Item")


@dataclass(frozen=True)
class CrossTable(Generic[Row, Column, Item]):
    """A table in the order of first appearance; a cell is None where there is nothing.

    Args:
        columns: what the columns stand for.
        rows: what each row stands for, and its cells.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Row, tuple[Item | None, ...]], ...]


def cross_table(
    items: Iterable[Item], row: Callable[[Item], Row], column: Callable[[Item], Column]
) -> CrossTable[Row, Column, Item]:
    """Put items into a table; of several for one cell the last is used."""
    places = {(row(item), column(item)): item for item in items}
    columns = tuple(dict.fromkeys(column for _, column in places))
    rows = dict.fromkeys(row for row, _ in places)
    return CrossTable(columns, tuple((key, tuple(places.get((key, column)) for column in columns)) for key in rows))


def parted(items: Iterable[Item], key: Callable[[Item], Row]) -> dict[Row, list[Item]]:
    """Group items by a property, in the order of first appearance."""
    parts: dict[Row, list[Item]] = {}
    for item in items:
        parts.setdefault(key(item), []).append(item)
    return parts
