"""Image files of a folder or an archive, with their classes, as a split of a data set."""

import contextlib
import io
import statistics
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from advcli.data import images
from advcli.data.dataset import LeftOut
from advcli.data.split import Split
from advcli.datasets._files import Tree, identity
from advcli.errors import AdvcliError
from advcli.files import paths
from advcli.files.formats import HEAD_BYTES, other_format
from advcli.files.image_file import open_image

NO_KIND = "of no known kind"
HIDDEN = "hidden"


def picture_split(
    tree: Tree,
    where: Path,
    names: Sequence[str],
    labels: Sequence[int],
    columns: Mapping[str, Sequence[str]] | None = None,
) -> Split:
    """Make a split of image files.

    Args:
        tree: what holds the files.
        where: its path, for messages.
        names: the files.
        labels: the class of each.
        columns: what else is known of each.
    """
    there = frozenset(tree.names)

    def read(index: int) -> np.ndarray:
        file = where / names[index]
        if where.is_dir():
            return images.read(file)
        if names[index] not in there:
            raise AdvcliError("there is no such file")
        return images.read(io.BytesIO(tree.read(names[index])))

    def found_format(index: int) -> str | None:
        try:
            with tree.open(names[index]) as file:
                return other_format(PurePosixPath(names[index]).suffix, file.read(HEAD_BYTES))
        except Exception:  # noqa: BLE001  what cannot be opened is reported when it is decoded
            return None

    return Split(
        np.array(labels, dtype=np.int32).reshape(-1),
        read,
        lambda index: str(where / names[index]),
        {name: np.array(values, dtype=object) for name, values in (columns or {}).items()},
        found_format,
    )


def by_part(names: Sequence[str]) -> list[str]:
    """Sort names as a listing of folders does: folder by folder."""
    return sorted(names, key=lambda name: name.split("/"))


def class_name(folder: str) -> str:
    """Return the class of a folder: the same for both Unicode forms of a name."""
    return unicodedata.normalize("NFC", folder)


def others(names: Sequence[str], where: object) -> list[LeftOut]:
    """Count the files that are no images: hidden ones, and those of no known kind by the folder that holds them."""
    found = []
    pure = [PurePosixPath(name) for name in names]
    hidden = [name for name in pure if paths.is_hidden(name)]
    if hidden:
        found.append(LeftOut(str(where), HIDDEN, paths.suffixes_of(hidden)))
    unknown = [name for name in pure if not paths.is_hidden(name) and not paths.is_image(name)]
    for folder in dict.fromkeys(name.parts[0] if len(name.parts) > 1 else "" for name in unknown):
        members = [name for name in unknown if (name.parts[0] if len(name.parts) > 1 else "") == folder]
        found.append(LeftOut(folder or str(where), NO_KIND, paths.suffixes_of(members)))
    return found


def describe(left_out: LeftOut) -> str:
    """Say which files are not read."""
    if left_out.reason == NO_KIND:
        return paths.describe_unknown(left_out.where, left_out.suffixes)
    what = "file" if left_out.files == 1 else "files"
    counts = ", ".join(f"{suffix} {count}" for suffix, count in sorted(left_out.suffixes.items()))
    return f"{left_out.files} {left_out.reason} {what} in '{left_out.where}' left out: {counts}"


def identity_of(tree: Tree, names: Sequence[str]) -> str:
    """Return a hash of the names and sizes of files, wherever they are."""
    return identity((class_name(name), tree.size(name)) for name in names)


def edge_of(tree: Tree, names: Sequence[str]) -> int:
    """Choose a size from some of the images: that of photographs, or the images' own if they are small."""
    sides = []
    chosen: list[int] = np.linspace(0, len(names) - 1, num=min(20, len(names))).astype(int).tolist()
    for index in chosen:
        # Opening reads the header only; a damaged image is reported when it is decoded.
        with contextlib.suppress(Exception, AdvcliError), tree.open(names[index]) as file, open_image(file) as image:
            sides.append(min(image.size))
    return usual_edge(sides)


def edge_of_split(split: Split) -> int:
    """Choose a size from some of the images, which have to be decoded for it."""
    sides = []
    for index in np.linspace(0, len(split) - 1, min(8, len(split)), dtype=int).tolist():
        # A damaged image is reported when all are decoded.
        with contextlib.suppress(AdvcliError, OSError):
            sides.append(min(split.read(index).shape[:2]))
    return usual_edge(sides)


def usual_edge(sides: Sequence[int]) -> int:
    """Choose the size of a model's images from the shorter sides of some images."""
    middle = statistics.median(sides) if sides else 224
    return 224 if middle >= 160 else max(32, int(middle))
