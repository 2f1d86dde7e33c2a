"""The order in which names of folders number the classes of a model that has no names for them."""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

_DIGITS = re.compile("([0-9]+)")


class ClassOrder(StrEnum):
    """How names are sorted: by characters (1, 10, 2), as Keras' image_dataset_from_directory does, or by number."""

    ALPHABETICAL = "alphabetical"
    NATURAL = "natural"

    @property
    def other(self) -> "ClassOrder":
        """The other one."""
        return ClassOrder.NATURAL if self is ClassOrder.ALPHABETICAL else ClassOrder.ALPHABETICAL

    def arrange(self, names: Iterable[str]) -> tuple[str, ...]:
        """Sort names."""
        return tuple(sorted(names) if self is ClassOrder.ALPHABETICAL else sorted(names, key=_by_number))


def _by_number(name: str) -> tuple[list[str | int], str]:
    # Text and numbers take turns, so that two keys never compare one with the other.
    parts: list[str | int] = [int(part) if i % 2 else part for i, part in enumerate(_DIGITS.split(name))]
    return parts, name


def generic_names(classes: int) -> tuple[str, ...]:
    """Name the classes of a model that has no names for them."""
    return tuple(f"class {i}" for i in range(classes))


def has_names(labels: Sequence[str]) -> bool:
    """Tell whether the classes of a model have names of their own."""
    return tuple(labels) != generic_names(len(labels))
