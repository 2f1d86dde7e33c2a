"""A table (.csv, .tsv, .jsonl) of images and classes, alone or in a folder (Hugging Face imagefolder).

https://huggingface.co/docs/datasets/image_dataset: ``metadata.csv`` or ``metadata.jsonl`` beside the images.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from advcli.data.dataset import Dataset, LeftOut
from advcli.datasets._assembled import Labelled, assemble
from advcli.datasets._files import Tree, existing, folder_tree, open_tree, title
from advcli.datasets._layout import MANIFESTS, Layout, layout_of
from advcli.datasets._pictures import class_name, describe, edge_of, identity_of, others, picture_split
from advcli.datasets._splits import split_of
from advcli.datasets._table import read_table
from advcli.datasets._table_columns import choose_columns, folders_of
from advcli.errors import UsageError
from advcli.files import paths

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Manifest:
    """Rows with file_name, label and, if you like, split; further columns describe the images.

    Args:
        path: the table, or a folder or .zip archive with metadata.csv, metadata.jsonl or labels.csv.
        label: the column of the classes; empty for label, class, category, target or the like, if there is one.
    """

    path: str
    label: str = ""

    @staticmethod
    def claims(layout: Layout) -> bool:
        """Tell whether a table lists the images."""
        return layout.source == "manifest"

    def __call__(self) -> Dataset:
        """Return the data set; its images are (H, W, 3) uint8 of any size."""
        path = existing(self.path)
        is_table = path.is_file() and path.suffix.lower() != ".zip"
        layout = layout_of(path)
        top = path.parent if is_table else path / layout.top
        tree = _beside(path) if is_table else open_tree(path).below(layout.top)
        tables = [path.name] if is_table else _tables(tree, PurePosixPath(layout.evidence).name)
        if not tables:
            raise UsageError(f"no {', '.join(MANIFESTS)} in '{path}'", "give the table itself")
        rows = [row for table in tables for row in self._rows(tree, table, top / table)]
        self._refuse_no_class(rows, top / tables[0])
        names = [row.file for row in rows]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise UsageError(f"'{top / tables[0]}' names '{twice[0]}' twice", "leave one of its rows out")
        listed = frozenset(tree.names)
        there = [name for name in names if is_table or name in listed]
        known = dict.fromkeys(key for row in rows for key in row.columns)
        columns = {key: [row.columns.get(key, "") for row in rows] for key in known}
        images = picture_split(tree, top, names, [0] * len(rows), columns)
        left_out = [] if is_table else _unlisted(tree, top, names, tables)
        for each in left_out:
            log.warning("%s", describe(each))
        labels, splits = [row.label for row in rows], [row.split for row in rows]
        found = Labelled(images, labels, splits, str(top / tables[0]), rows[0].classes)
        identity = identity_of(tree, [name for name in there if not is_table or (top / name).is_file()])
        dataset = assemble(title(path), found, edge=edge_of(tree, there), identity=identity, left_out=left_out)
        if not any(not is_table or (top / name).exists() for name in there):
            hint = f"file names are relative to the folder of the table, '{(top / tables[0]).parent}'"
            raise UsageError(f"none of the files that '{top / tables[0]}' names exists: '{names[0]}'", hint)
        return dataset

    def _refuse_no_class(self, rows: Sequence["_Row"], where: Path) -> None:
        """Refuse a table without classes whose files lie in one folder; warn if their folders are the classes.

        Raises:
            UsageError: there is only one folder.
        """
        columns = dict.fromkeys(key for row in rows for key in row.columns)
        if not columns or any(row.labelled for row in rows):
            return
        folders = sorted({row.label for row in rows})
        none = f"'{where}' does not say which of its columns has the classes: {', '.join(columns)}"
        hint = f"--data manifest:path={where},label={next(iter(columns))}"
        if len(folders) == 1:
            raise UsageError(none, f"call it label, or name it: {hint}")
        shown = ", ".join(folders[:4]) + (" and so on" if len(folders) > 4 else "")
        log.warning("%s: the classes are the folders %s; a column is taken by %s", none, shown, hint)

    def _rows(self, tree: Tree, table: str, where: Path) -> Iterator["_Row"]:
        folder = table.rpartition("/")[0]
        on_disk = {class_name(name): name for name in tree.names}
        content = list(read_table(tree, table, where))
        columns = choose_columns(content, where, self.label, "" if where == Path(self.path) else self.path)
        for number, row in enumerate(content, 1):
            given = columns.file_of(row)
            if not given:
                raise UsageError(f"row {number} of '{where}' names no file", "")
            in_split, folders = folders_of(f"{folder}/{given}")
            label = columns.label_of(row)
            if label is None and not folders:
                hint = f"its columns are {', '.join(columns.known)}; call the one with the classes label"
                raise UsageError(f"'{where}' does not contain the class of '{given}'", hint)
            name = f"{folder}/{given}" if folder else given
            yield _Row(
                on_disk.get(class_name(name), name),
                class_name(folders[0] if label is None else label),
                in_split if columns.split is None else row.get(columns.split, ""),
                {key: row[key] for key in columns.others if key in row},
                label is not None,
                tuple(class_name(key.strip()) for key in columns.marked),
            )


@dataclass(frozen=True)
class _Row:
    """One image: its file, its class, its split, and what else is known of it.

    ``labelled`` is whether the table has its class, ``classes`` are the names of all classes in order, if it has them.
    """

    file: str
    label: str
    split: str
    columns: Mapping[str, str]
    labelled: bool
    classes: tuple[str, ...] = ()


def _tables(tree: Tree, name: str) -> list[str]:
    """List the tables of a folder: at the top, or one for each split."""
    wanted = (name,) if name in MANIFESTS else MANIFESTS
    found = [each for each in tree.names if each.rpartition("/")[2] in wanted and each.count("/") <= 1]
    at_top = [each for each in found if "/" not in each]
    return at_top[:1] or [each for each in found if split_of(each.partition("/")[0])]


def _beside(table: Path) -> Tree:
    """Return the folder of a table without listing it: only the files that the table names are read."""
    folder = table.parent
    return folder_tree(folder, ())


def _unlisted(tree: Tree, top: Path, names: Sequence[str], tables: Sequence[str]) -> list[LeftOut]:
    listed = {*names, *tables}
    rest = [name for name in tree.names if name not in listed]
    pictures = [PurePosixPath(name) for name in rest]
    pictures = [name for name in pictures if paths.is_image(name) and not paths.is_hidden(name)]
    found = others(rest, top)
    if pictures:
        found.append(LeftOut(str(top), f"not listed in '{tables[0]}'", paths.suffixes_of(pictures)))
    return found


COMPONENT = Manifest
