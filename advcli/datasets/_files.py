"""Local files that hold a data set: a named file, a folder, a .zip archive read as it is."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from advcli.errors import AdvcliError, UsageError
from advcli.files.archives import Archive
from advcli.files.bounded import open_file, read_bytes, refuse_special
from advcli.files.download import fetch

_MOST_IN_A_FILE = 1 << 31


def existing(path: str, hint: str = "") -> Path:
    """Return the path of a file or folder that a user names.

    Raises:
        UsageError: it does not exist, or is a pipe, a device or a socket.
    """
    found = refuse_special(Path(path).expanduser())
    if not found.exists():
        raise UsageError(f"no such file or folder: '{path}'", hint)
    return found


def local_or_fetched(path: str, url: str, filename: str, sha256: str, size: int, instead: str) -> Path:
    """Return the file that a user names, or else the one on the network (see ``download.fetch``).

    Raises:
        UsageError: the named file does not exist.
        AdvcliError: the file cannot be downloaded.
    """
    return existing(path, instead) if path else fetch(url, filename, sha256, size, instead)


def title(path: Path) -> str:
    """Return the name of the data in a file or folder: its file name without suffixes."""
    if path.name in ("", ".."):
        path = path.resolve()
    return path.name if path.is_dir() else path.stem


def folder_holding(name: str, files: Iterable[str]) -> str | None:
    """Find the folder a file is in: '' for the top, else the only folder just below that holds one."""
    folders = {file.rpartition("/")[0] for file in files if file.rpartition("/")[2] == name}
    if "" in folders:
        return ""
    near = [folder for folder in folders if "/" not in folder]
    return near[0] if len(near) == 1 else None


def list_files(path: Path) -> list[str] | None:
    """List the files of a folder or a .zip archive, sorted, with a slash between the parts; None if it is neither.

    Links whose file is missing are files: as images they are reported as unreadable.
    """
    if not path.is_dir():
        refuse_special(path)
        try:
            with Archive(path) as archive:
                return sorted(archive.names)
        except AdvcliError:
            return None
    found, seen = [], set()
    for folder, below, files in os.walk(path, followlinks=True):
        # A link to a folder above it would never end.
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        part = Path(folder).relative_to(path).as_posix()
        prefix = "" if part == "." else f"{part}/"
        found += [f"{prefix}{name}" for name in files if _is_file(os.path.join(folder, name))]  # noqa: PTH118  faster than Path
    return sorted(found)


def _is_file(path: str) -> bool:
    return os.path.isfile(path) or not os.path.exists(path)  # noqa: PTH110, PTH113  faster than Path


def identity_of_files(files: Sequence[Path]) -> str:
    """Return a hash of the names and sizes of files, wherever they are."""
    return identity((file.name, file.stat().st_size) for file in files)


def identity(parts: Iterable[tuple[str, int]]) -> str:
    """Return a hash of names, each with a size in bytes or a checksum."""
    digest = hashlib.sha256()
    for name, number in parts:
        digest.update(f"{name} {number}\n".encode())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Tree:
    """The files of a folder or of an archive.

    Args:
        names: their paths below the top, sorted, with a slash between the parts.
        read: name -> content.
        open: name -> an open file.
        size: name -> bytes, without reading the content.
    """

    names: tuple[str, ...]
    read: Callable[[str], bytes]
    open: Callable[[str], AbstractContextManager[BinaryIO]]
    size: Callable[[str], int]

    def below(self, folder: str) -> "Tree":
        """Return the part of the tree in one folder, '' for all of it."""
        if not folder:
            return self
        names = tuple(name.removeprefix(f"{folder}/") for name in self.names if name.startswith(f"{folder}/"))
        return Tree(
            names,
            lambda name: self.read(f"{folder}/{name}"),
            lambda name: self.open(f"{folder}/{name}"),
            lambda name: self.size(f"{folder}/{name}"),
        )


def folder_tree(path: Path, names: Sequence[str]) -> Tree:
    """Return some files of a folder as a tree."""
    return Tree(
        tuple(names),
        lambda name: read_bytes(path / name, _MOST_IN_A_FILE),
        lambda name: open_file(path / name, _MOST_IN_A_FILE),
        lambda name: (path / name).stat().st_size if (path / name).exists() else 0,
    )


def open_tree(path: Path) -> Tree:
    """List a folder or a .zip archive, which stays packed.

    Raises:
        UsageError: the file is no .zip archive.
    """
    if path.is_dir():
        return folder_tree(path, list_files(path) or [])
    try:
        archive = Archive(path)
    except AdvcliError as error:
        raise UsageError(error.message, "download or pack it again") from error
    return Tree(tuple(sorted(archive.names)), archive.read, archive.open, archive.size)
