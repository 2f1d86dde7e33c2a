"""Files of class names: one a line, or JSON."""

from pathlib import Path

from advcli.data.class_names import is_wordnet_id
from advcli.errors import AdvcliError, first_line
from advcli.files.bounded import parse_json, read_text
from advcli.records.base import Json


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names: one a line, or JSON: a list, Keras' class index, or a mapping from names to indices.

    Raises:
        AdvcliError: the file contains no class names.
    """
    try:
        text = read_text(path)
        labels = _labels_in_json(parse_json(text)) if text.lstrip().startswith(("{", "[")) else text.splitlines()
    except (AttributeError, TypeError, ValueError, LookupError) as error:
        raise AdvcliError(f"cannot read class names from '{path}': {first_line(error)}") from error
    labels = _without_numbers([label.strip() for label in labels if label.strip()])
    if not labels:
        raise AdvcliError(f"'{path}' contains no class names", "write one name a line")
    return labels


def _without_numbers(labels: list[str]) -> tuple[str, ...]:
    """Leave the number of each class out if it stands before its name, as in the files of Teachable Machine."""
    parts = [label.partition(" ") for label in labels]
    numbered = all(number == str(i) and name.strip() for i, (number, _, name) in enumerate(parts))
    return tuple(name.strip() if numbered else label for label, (_, _, name) in zip(labels, parts, strict=True))


def read_wordnet_ids(path: Path) -> tuple[str, ...]:
    """Read the WordNet ids of a file of class names in the form of Keras' class index; empty for other files."""
    try:
        content = parse_json(read_text(path))
        entries = [content[str(i)] for i in range(len(content))] if isinstance(content, dict) else content
        ids = tuple(entry[0] for entry in entries if isinstance(entry, list) and is_wordnet_id(str(entry[0])))
    except (OSError, ValueError, LookupError, TypeError):
        return ()
    return ids if len(ids) == len(entries) else ()


def _labels_in_json(content: Json) -> list[str]:
    if isinstance(content, dict):
        count = len(content)
        if all(isinstance(value, int) for value in content.values()):
            content = {str(index): name for name, index in content.items()}
        missing = [i for i in range(count) if str(i) not in content]
        if missing:
            raise ValueError(f"there is no class {missing[0]}")
        content = [content[str(i)] for i in range(count)]
    return [str(item[-1] if isinstance(item, list) else item) for item in content]
