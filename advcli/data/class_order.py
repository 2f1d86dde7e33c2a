"""The order in which folder names are numbered, for a model without class names."""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

_DIGITS = re.compile("([0-9]+)")
_MOST = 4000


class ClassOrder(StrEnum):
    """Sort order of names: alphabetical (1, 10, 2), as in Keras' image_dataset_from_directory, or natural (1, 2)."""

    ALPHABETICAL = "alphabetical"
    NATURAL = "natural"

    @property
    def other(self) -> "ClassOrder":
        """Return the other order."""
        return ClassOrder.NATURAL if self is ClassOrder.ALPHABETICAL else ClassOrder.ALPHABETICAL

    def arrange(self, names: Iterable[str]) -> tuple[str, ...]:
        """Sort names."""
        return tuple(sorted(names) if self is ClassOrder.ALPHABETICAL else sorted(names, key=_by_number))


def _by_number(name: str) -> tuple[list[str | int], str]:
    # Text and numbers alternate, so that text is never compared with a number.
    # Python refuses to read more digits than so many.
    parts: list[str | int] = [int(part[:_MOST]) if i % 2 else part for i, part in enumerate(_DIGITS.split(name))]
    return parts, name


def generic_names(classes: int) -> tuple[str, ...]:
    """Return generic names for the classes of a model without class names."""
    return tuple(f"class {i}" for i in range(classes))


def has_names(labels: Sequence[str]) -> bool:
    """Return whether the class names are not the generic ones."""
    return tuple(labels) != generic_names(len(labels))
