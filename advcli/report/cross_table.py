"""Records in rows and columns, each by a property of its own."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class CrossTable(Generic[Item]):
    """A table in the order of first appearance; a cell is None where there is nothing.

    Args:
        columns: what the columns stand for.
        rows: what each row stands for, and its cells.
    """

    columns: tuple[Hashable, ...]
    rows: tuple[tuple[Hashable, tuple[Item | None, ...]], ...]


def cross_table(
    items: Iterable[Item], row: Callable[[Item], Hashable], column: Callable[[Item], Hashable]
) -> CrossTable[Item]:
    """Put items into a table; of several with one place the last stays."""
    places = {(row(item), column(item)): item for item in items}
    rows, columns = (tuple(dict.fromkeys(keys)) for keys in zip(*places, strict=True)) if places else ((), ())
    return CrossTable(columns, tuple((key, tuple(places.get((key, column)) for column in columns)) for key in rows))


def parted(items: Iterable[Item], key: Callable[[Item], Hashable]) -> dict[Hashable, list[Item]]:
    """Part items by a property, in the order of first appearance."""
    parts: dict[Hashable, list[Item]] = {}
    for item in items:
        parts.setdefault(key(item), []).append(item)
    return parts
