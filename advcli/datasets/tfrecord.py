"""TFRecord files of encoded images with their classes, as TensorFlow Datasets prepares them.

https://www.tensorflow.org/datasets: ``features.json`` says which feature is the image, ``label.labels.txt`` names the
classes.
"""

import io
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advcli.backend import tf
from advcli.data import images
from advcli.data.dataset import Dataset
from advcli.data.split import Split
from advcli.datasets._assembled import Labelled, assemble
from advcli.datasets._files import existing, identity_of_files, list_files, title
from advcli.datasets._layout import Layout
from advcli.datasets._pictures import edge_of_split
from advcli.datasets._splits import split_of
from advcli.errors import AdvcliError, UsageError
from advcli.files.bounded import open_file, parse_json, read_text
from advcli.files.formats import format_of
from advcli.parsing import read_index
from advcli.records.base import Json

_IMAGE = ("image", "image/encoded", "image_raw")
_LABEL = ("image/class/synset", "label", "labels", "image/class/text", "image/class/label", "class")
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class TFRecord:
    """The split of an image is in its file's name: mnist-train.tfrecord-00000-of-00001.

    Args:
        path: a TFRecord file, or a folder of them.
    """

    path: str

    @staticmethod
    def claims(layout: Layout) -> bool:
        """Tell whether these are TFRecord files."""
        return layout.source == "tfrecord"

    def __call__(self) -> Dataset:
        """Return the data set; its images are (H, W, 3) uint8 of any size, read one at a time."""
        path = existing(self.path)
        names = [path.name] if path.is_file() else [name for name in list_files(path) or [] if ".tfrecord" in name]
        files = [path if path.is_file() else path / name for name in names]
        if not files:
            raise UsageError(f"no .tfrecord files in '{path}'", "give the folder that holds them")
        features = _Features.of(files[0].parent)
        rows = [row for file in files for row in _rows(file, features)]
        if not rows:
            raise UsageError(f"no images in '{files[0]}'", "is it complete?")

        def read(index: int) -> np.ndarray:
            row = rows[index]
            return images.read(io.BytesIO(_bytes(_example(_record(row.file, row.start)), row.image)))

        columns = dict.fromkeys(key for row in rows for key in row.columns)
        split = Split(
            np.zeros(len(rows), np.int32),
            read,
            lambda index: f"{rows[index].file}[{rows[index].number}]",
            {key: np.array([row.columns.get(key, "") for row in rows], object) for key in columns},
        )
        found = Labelled(
            split, [row.label for row in rows], [_split_of(row.file) for row in rows], str(files[0]), features.names
        )
        return assemble(title(path), found, edge=edge_of_split(split), identity=identity_of_files(files))


@dataclass(frozen=True)
class _Row:
    """One record: where it is, the feature of its image, its class, and what else it says."""

    file: Path
    start: int
    number: int
    image: str
    label: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class _Features:
    """What features.json says: the features of image and class; empty without the file."""

    image: str = ""
    label: str = ""
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: Path) -> "_Features":
        """Read the description of a folder.

        Raises:
            UsageError: it cannot be read.
        """
        file = folder / "features.json"
        if not file.is_file():
            return cls()
        try:
            features = parse_json(read_text(file))["featuresDict"]["features"]
            image = [name for name, each in features.items() if "image" in each]
            label = [name for name, each in features.items() if "classLabel" in each]
            if not image or not label:
                raise UsageError(f"'{file}' describes no images with one class each", "other data cannot be measured")
            named = folder / f"{label[0]}.labels.txt"
            names = tuple(read_text(named).splitlines()) if named.is_file() else ()
        except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
            raise UsageError(f"'{file}' cannot be read: {error}", "prepare the data again") from error
        return cls(image[0], label[0], names)


def _rows(file: Path, features: _Features) -> Iterator[_Row]:
    for number, (start, content) in enumerate(_records(file)):
        example = _example(content)
        known = example.features.feature
        image = features.image or next((name for name in (*_IMAGE, *known) if _is_image(known, name)), "")
        label = features.label or next((name for name in _LABEL if name in known), "")
        if image not in known or label not in known:
            what = "image" if image not in known else "class"
            raise UsageError(
                f"record {number} of '{file}' has no {what}", f"its features are {', '.join(sorted(known))}"
            )
        texts = {name: _text(known[name]) for name in known if name not in (image, label)}
        value = _text(known[label])
        index = None if value is None else read_index(value)
        if index is not None and index < len(features.names):
            value = features.names[index]
        columns = {name: text for name, text in texts.items() if text is not None}
        yield _Row(file, start, number, image, "" if value in (None, "-1") else value, columns)


def _records(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the records of a file: where each begins, and its content.

    Raises:
        AdvcliError: the file is cut off.
    """
    size = file.stat().st_size
    start = 0
    while start < size:
        content = _record(file, start)
        yield start, content
        # Length, checksum, content, checksum.
        start += 8 + 4 + len(content) + 4


def _record(file: Path, start: int) -> bytes:
    with open_file(file, 1 << 62) as opened:
        opened.seek(start)
        head = opened.read(12)
        length = _LENGTH.unpack(head[:8])[0] if len(head) == 12 else -1
        rest = file.stat().st_size - opened.tell()
        if not 0 <= length <= rest - 4:
            raise AdvcliError(f"'{file}' is damaged or cut off at byte {start}", "copy the whole file again")
        return opened.read(length)


def _example(content: bytes) -> Json:
    try:
        return tf.train.Example.FromString(content)
    except Exception as error:
        raise AdvcliError("a record is not a tf.train.Example") from error


def _bytes(example: Json, name: str) -> bytes:
    values = example.features.feature[name].bytes_list.value
    return values[0] if values else b""


def _is_image(known: Json, name: str) -> bool:
    values = known[name].bytes_list.value if name in known else ()
    return bool(values) and format_of(values[0][:16]) is not None


def _text(feature: Json) -> str | None:
    """Return a single value as a text; None for another number of values."""
    kind = feature.WhichOneof("kind")
    values: Sequence[Json] = getattr(feature, kind).value if kind else ()
    if len(values) != 1:
        return None
    value = values[0]
    return value.decode("utf-8", errors="replace")[:200] if isinstance(value, bytes) else str(value)


def _split_of(file: Path) -> str:
    """Return the split in a file's name."""
    parts = re.split(r"[-._]", file.name.partition(".tfrecord")[0])
    return next((part for part in reversed(parts) if split_of(part)), "")


COMPONENT = TFRecord
