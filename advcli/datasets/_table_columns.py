"""Which columns of a table of images have the files, the classes and the splits."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from advcli.datasets._splits import TRAIN, split_of
from advcli.errors import UsageError, nearest

log = logging.getLogger(__name__)

_FILE = ("file_name", "filename", "file", "path", "filepath", "image", "image_path")
_LABEL = (
    *("label", "labels", "class", "category", "wnid", "class_index", "class_name", "class_label", "class_id"),
    *("label_id", "category_name", "target", "ground_truth", "species", "y", "name"),
)
_SPLIT = ("split", "subset", "partition")
_MARKS = ("0", "1", "0.0", "1.0")

Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Args:
        known: all of them.
        file: the one of the file names.
        label: the one of the classes; None if there is none.
        split: the one of the splits; None if there is none.
        marked: columns of 0 and 1 that are the classes themselves, in their order.
    """

    known: tuple[str, ...]
    file: str
    label: str | None
    split: str | None
    marked: tuple[str, ...] = ()

    @property
    def others(self) -> tuple[str, ...]:
        """Those that say something else of an image."""
        return tuple(key for key in self.known if key not in (self.file, self.label, self.split, *self.marked))

    def file_of(self, row: Mapping[str, str]) -> str:
        """Return the file name in a row, with slashes; empty if there is none."""
        return row.get(self.file, "").replace("\\", "/").removeprefix("./")

    def label_of(self, row: Mapping[str, str]) -> str | None:
        """Return the class in a row, empty if the image has none; None if the table has no classes."""
        if self.marked:
            return next(key for key in self.marked if float(row[key]) == 1).strip()
        return None if self.label is None else row.get(self.label, "").strip()


def choose_columns(content: Rows, where: Path, label: str, folder: str) -> Columns:
    """Find the columns of a table by their names and values.

    Args:
        content: the rows: column -> text.
        where: the table, for messages.
        label: the column of the classes, if the user named it.
        folder: what the user named, if that is not the table itself.

    Raises:
        UsageError: there are no rows, no file names, or no such column of classes.
    """
    if not content:
        raise UsageError(f"'{where}' has no rows", "the first line names the columns: file_name,label")
    known = tuple(dict.fromkeys(key for row in content for key in row))
    file = _named(known, _FILE)
    if file is None:
        hint = f"its columns are {', '.join(known)}; call the one with the files file_name"
        if folder:
            hint += f", or give folder:path={folder} if the classes are its folders"
        raise UsageError(f"'{where}' has no column of file names", hint)
    own = _named(known, (label,) if label else _LABEL)
    if own is None and label:
        raise UsageError(f"'{where}' has no column '{label}'", nearest(label, known))
    split = _named(known, _SPLIT)
    if split is None:
        split = _of_splits([key for key in known if key not in (file, own)], content)
        if split is not None:
            log.info("'%s': the splits are in its column '%s'", where, split)
    columns = Columns(known, file, own, split)
    others = [key for key in known if key != own and key.strip().lower() in _LABEL]
    if own is not None and others and not label:
        log.info("'%s': the classes are in its column '%s', not in %s", where, own, ", ".join(map(repr, others)))
    # Folders may be the classes, and the columns properties of the images.
    if own is not None or len({tuple(folders_of(columns.file_of(row))[1][:1]) for row in content}) > 1:
        return columns
    marked = _one_hot(columns.others, content)
    if marked:
        log.info("'%s': the classes are its columns %s, one of which is 1 in each row", where, ", ".join(marked))
    return Columns(known, file, own, split, marked)


def folders_of(name: str) -> tuple[str, list[str]]:
    """Return the split that the top folder of a file stands for, empty if none, and the other folders."""
    parts = [part for part in name.split("/")[:-1] if part]
    return (parts[0], parts[1:]) if parts and split_of(parts[0]) else ("", parts)


def _named(known: Sequence[str], wanted: Sequence[str]) -> str | None:
    by_name = {key.strip().lower(): key for key in known}
    return next((by_name[name.lower()] for name in wanted if name.lower() in by_name), None)


def _of_splits(keys: Sequence[str], content: Rows) -> str | None:
    """Return the column that says of every row whether it is to train or to test on; None if there is none."""
    for key in keys:
        found = {split_of(row.get(key, "")) for row in content}
        if TRAIN in found and len(found) > 1 and "" not in found:
            return key
    return None


def _one_hot(keys: Sequence[str], content: Rows) -> tuple[str, ...]:
    """Return the columns of 0 and 1 of which exactly one is 1 in each row; empty if there are none."""
    marks = {key for key in keys if all(row.get(key, "").strip() in _MARKS for row in content)}
    chosen = tuple(key for key in keys if key in marks)
    whole = all(sum(float(row[key]) for key in chosen) == 1 for row in content)
    return chosen if len(chosen) > 1 and whole else ()
