"""Parquet files of Hugging Face data sets: encoded images with their classes (needs advcli[parquet]).

https://huggingface.co/docs/datasets/image_dataset: the image is a struct of ``bytes`` and ``path``, the class names
are in the schema.
"""

import importlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from advcli.data import images
from advcli.data.dataset import Dataset
from advcli.data.split import Split
from advcli.datasets._assembled import Labelled, assemble
from advcli.datasets._files import existing, identity_of_files, list_files, title
from advcli.datasets._layout import Layout
from advcli.datasets._pictures import edge_of_split
from advcli.datasets._splits import split_of
from advcli.errors import AdvcliError, UsageError
from advcli.records.base import Json

_IMAGE = ("image", "img", "picture")
_LABEL = ("label", "labels", "fine_label", "class", "category")


@dataclass(frozen=True)
class Parquet:
    """The split of an image is in its file's name: train-00000-of-00002.parquet.

    Args:
        path: a .parquet file, or a folder of them.
    """

    path: str

    @staticmethod
    def claims(layout: Layout) -> bool:
        """Tell whether these are Parquet files."""
        return layout.source == "parquet"

    def __call__(self) -> Dataset:
        """Return the data set; its images are (H, W, 3) uint8 of any size, read a row group at a time."""
        path = existing(self.path)
        parquet = _pyarrow()
        names = (
            [path.name] if path.is_file() else [name for name in list_files(path) or [] if name.endswith(".parquet")]
        )
        files = [path if path.is_file() else path / name for name in names]
        if not files:
            raise UsageError(f"no .parquet files in '{path}'", "give the folder that holds them")
        tables = [_Table.of(parquet, file, name) for file, name in zip(files, names, strict=True)]
        places = [(table, row) for table in tables for row in range(len(table.labels))]
        groups = _RowGroups(parquet)

        def read(index: int) -> np.ndarray:
            table, row = places[index]
            return images.read(io.BytesIO(groups.image(table, row)))

        columns = dict.fromkeys(key for table in tables for key in table.columns)
        split = Split(
            np.zeros(len(places), np.int32),
            read,
            lambda index: f"{places[index][0].file}[{places[index][1]}]",
            {
                key: np.array([table.columns.get(key, {}).get(row, "") for table, row in places], object)
                for key in columns
            },
        )
        labels = [table.labels[row] for table, row in places]
        found = Labelled(split, labels, [table.split for table, _ in places], str(files[0]), tables[0].names)
        return assemble(title(path), found, edge=edge_of_split(split), identity=identity_of_files(files))


@dataclass(frozen=True)
class _Table:
    """One file: the columns of its images, but for the images themselves."""

    file: Path
    split: str
    image: str
    labels: Sequence[str]
    columns: Mapping[str, Mapping[int, str]]
    starts: Sequence[int]
    names: tuple[str, ...]

    @classmethod
    def of(cls, parquet: ModuleType, file: Path, name: str) -> "_Table":
        """Read all columns but the images.

        Raises:
            UsageError: the file is no Parquet file of labelled images.
        """
        try:
            with parquet.ParquetFile(file) as opened:
                schema = opened.schema_arrow
                known = list(schema.names)
                image = next(
                    (each for each in (*_IMAGE, *known) if each in known and _holds_images(schema, each)), None
                )
                label = next((each for each in _LABEL if each in known), None)
                if image is None or label is None:
                    what = "images (a column image of bytes)" if image is None else "classes (a column label)"
                    raise UsageError(f"'{file}' has no {what}", f"its columns are {', '.join(known)}")
                simple = [each for each in known if each != image and "struct" not in str(schema.field(each).type)]
                content = opened.read(columns=simple).to_pydict()
                counts = [opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)]
                names = _class_names((schema.metadata or {}).get(b"huggingface"), label)
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"'{file}' is not a readable Parquet file: {error}", "download it again") from error
        columns = {key: {row: _text(value) for row, value in enumerate(content[key])} for key in simple if key != label}
        labels = [
            names[value] if names and isinstance(value, int) and value >= 0 else _text(value)
            for value in content[label]
        ]
        return cls(file, _split_of(name), image, labels, columns, np.cumsum([0, *counts]).tolist(), names)


class _RowGroups:
    """The encoded images of one row group at a time."""

    def __init__(self, parquet: ModuleType) -> None:
        self._parquet = parquet
        self._place: tuple[Path, int] | None = None
        self._images: Sequence[bytes] = ()

    def image(self, table: _Table, row: int) -> bytes:
        """Return an encoded image.

        Raises:
            AdvcliError: it cannot be read.
        """
        group = int(np.searchsorted(table.starts, row, side="right")) - 1
        if self._place != (table.file, group):
            try:
                with self._parquet.ParquetFile(table.file) as opened:
                    column = opened.read_row_group(group, columns=[table.image]).column(0).to_pylist()
            except (OSError, ValueError) as error:
                raise AdvcliError(f"'{table.file}' is damaged: {error}") from error
            self._images = [(value.get("bytes") if isinstance(value, dict) else value) or b"" for value in column]
            self._place = (table.file, group)
        return self._images[row - table.starts[group]]


def _pyarrow() -> ModuleType:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError(
            "pyarrow, which reads .parquet files, is not installed", 'pip install "advcli[parquet]"'
        ) from error


def _holds_images(schema: Json, name: str) -> bool:
    kind = str(schema.field(name).type)
    return kind in ("binary", "large_binary") or (kind.startswith("struct") and "bytes: binary" in kind)


def _class_names(described: bytes | None, label: str) -> tuple[str, ...]:
    try:
        features = json.loads(described or b"{}").get("info", {}).get("features", {})
        return tuple(features.get(label, {}).get("names", ()))
    except (ValueError, AttributeError):
        return ()


def _split_of(name: str) -> str:
    """Return the split that a file's name begins with, or the folder it is in."""
    parts = [*name.split("/")[:-1], re.split(r"[-._]", name.split("/")[-1])[0]]
    return next((part for part in reversed(parts) if split_of(part)), "")


def _text(value: Json) -> str:
    return "" if value is None else str(value)


COMPONENT = Parquet
