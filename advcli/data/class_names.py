"""Class names and their indices."""

import re
import unicodedata
from collections.abc import Sequence

from advcli.errors import UsageError, nearest
from advcli.parsing import read_index


def class_named(labels: Sequence[str], name: str, wordnet_ids: Sequence[str] = ()) -> int | None:
    """Return the index of a class by its name, or by a synonym in a label such as 'goldfish, Carassius auratus'.

    Args:
        labels: the class names.
        name: what is looked for.
        wordnet_ids: another name of each class, if there is one.
    """
    if name in wordnet_ids:
        return list(wordnet_ids).index(name)
    folded = [label_key(label) for label in labels]
    if label_key(name) in folded:
        return folded.index(label_key(name))
    return next(
        (i for i, label in enumerate(folded) if label_key(name) in (part.strip() for part in label.split(","))), None
    )


def class_index(labels: Sequence[str], value: str) -> int:
    """Find a class by its name or its index.

    Raises:
        UsageError: there is no such class.
    """
    same = [i for i, label in enumerate(labels) if label_key(label) == label_key(value)]
    if len(same) > 1:
        raise UsageError(f"{len(same)} classes are called '{value}'", f"give an index: {', '.join(map(str, same))}")
    index = class_named(labels, value)
    if index is not None:
        return index
    index = read_index(value.strip())
    if index is not None and index < len(labels):
        return index
    raise UsageError(f"no class '{value}' among the {len(labels)} classes", nearest(value, labels))


def label_key(label: str) -> str:
    """Return a normalised class name: equal for different spellings and Unicode forms."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", label).strip().casefold()).replace("_", " ")


def is_wordnet_id(name: str) -> bool:
    """Return whether a class name is a WordNet id, such as n01440764."""
    return re.fullmatch(r"n\d{8}", name) is not None
