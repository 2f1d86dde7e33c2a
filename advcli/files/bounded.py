"""Read files that others wrote: regular files only, and no more bytes than what they are for needs.

A limit is checked by the sizes that a file or an archive declares, before anything is unpacked.
"""

import contextlib
import gzip
import io
import json
import os
import stat
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from advcli.errors import AdvcliError, UsageError
from advcli.records.base import Json

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

KILO, MEGA, GIGA = 10**3, 10**6, 10**9

# What a text for people and programs may take: class names, options, a configuration, a record.
TEXT = 16 * MEGA

# Of JSON; the configuration of a model within models within models has fewer levels.
_DEEPEST = 200

# A member of an archive may unpack to this, or to so many times its packed bytes.
_FREE, _EXPANSION = 256 * MEGA, 20

# Of a member's own header: the lengths of its name and of what follows that.
_LOCAL_HEADER = struct.Struct("<26xHH")

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
# What a damaged archive makes its reader raise.
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,  # encrypted
    NotImplementedError,  # an unknown compression
    struct.error,
    ValueError,
    OverflowError,
    SyntaxError,  # in the header of an array, which is Python
    tokenize.TokenError,
)


def refuse_special(path: Path) -> Path:
    """Return a path that is no pipe, device or socket; reading one may never end.

    Raises:
        UsageError: it is one.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return path
    _refuse_mode(mode, path)
    return path


def open_file(path: Path, limit: int) -> BinaryIO:
    """Open a regular file.

    Args:
        path: the file.
        limit: the most bytes that it may have.

    Raises:
        AdvcliError: it cannot be read, or is larger.
        UsageError: it is a pipe, a device or a socket.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for its writer.
        file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")
    except (OSError, ValueError) as error:
        refuse_special(path)
        raise _other_kind(path) or AdvcliError(
            f"cannot read '{path}': {getattr(error, 'strerror', None) or error}"
        ) from error
    try:
        found = os.fstat(file.fileno())
        _refuse_mode(found.st_mode, path)
        _refuse_size(found.st_size, limit, f"'{path}'")
    except AdvcliError:
        file.close()
        raise
    return file


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes (see ``open_file``)."""
    with open_file(path, limit) as file:
        try:
            # One byte more, for a file that grows.
            content = file.read(limit + 1)
        except OSError as error:
            raise AdvcliError(f"cannot read '{path}': {error.strerror or error}") from error
    _refuse_size(len(content), limit, f"'{path}'")
    return content


def read_text(path: Path, limit: int = TEXT, encoding: str = "utf-8-sig") -> str:
    """Read a regular text file of at most ``limit`` bytes, with or without a byte order mark.

    Raises:
        AdvcliError: it cannot be read, is larger, or is no text.
        UsageError: it is a pipe, a device or a socket.
    """
    try:
        return read_bytes(path, limit).decode(encoding)
    except UnicodeDecodeError as error:
        raise _other_kind(path) or AdvcliError(f"cannot read '{path}': not a text file in UTF-8") from error


def _other_kind(path: Path) -> AdvcliError | None:
    """Return the error that names what is at a path where a text was wanted; None if it is not known."""
    # Imported here, because it reads files by this module.
    from advcli.files.kinds import kind_of, other_kind

    is_file = os.path.isfile(path)  # noqa: PTH113  a Path's method fails where a name is too long
    kind = None if is_file and not os.access(path, os.R_OK) else kind_of(path)
    if kind is None or kind.use == "text":
        return None
    return other_kind(path, kind, "text", "a text file" if is_file else "a file")


def parse_json(text: str | bytes) -> Json:
    """Parse JSON.

    Raises:
        ValueError: it is none, or is nested too deeply.
    """
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error
    level = [content]
    for _ in range(_DEEPEST):
        inner = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, (dict, list)))
        level = [value for values in inner for value in values if isinstance(value, (dict, list))]
        if not level:
            return content
    raise ValueError("JSON that is nested too deeply")


class Archive:
    """The members of a .zip archive (.keras, .npz, ...), read one by one.

    Args:
        path: the archive.
        file: it, if it is open or lies in another archive.

    Raises:
        AdvcliError: it cannot be read.
    """

    def __init__(self, path: Path, file: BinaryIO | None = None) -> None:
        self.path = path
        self._file = open_file(path, 1 << 62) if file is None else file
        self._size = self._file.seek(0, io.SEEK_END)
        try:
            self._zip = zipfile.ZipFile(self._file)
        except DAMAGED as error:
            self._file.close()
            raise AdvcliError(f"'{path}' is not a readable .zip archive: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()

    @property
    def names(self) -> list[str]:
        """The names of its files, without those of folders."""
        return [name for name in self._zip.namelist() if not name.endswith("/")]

    def size(self, name: str) -> int:
        """Return the bytes that a member unpacks to, as its header says."""
        return self._zip.getinfo(name).file_size

    def check(self) -> None:
        """Refuse an archive that unpacks to more than 256 MB and more than 20 times its size.

        Raises:
            AdvcliError: it is such an archive.
        """
        for info in self._zip.infolist():
            self._check(info, None)
        total = sum(info.file_size for info in self._zip.infolist())
        _refuse_size(total, max(_FREE, _EXPANSION * self._size), f"the unpacked content of '{self.path}'")

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Read a member.

        Args:
            name: its name.
            limit: the most bytes that it may have; None: 256 MB, or 20 times its packed bytes.

        Raises:
            AdvcliError: it is damaged or larger.
            KeyError: there is none.
        """
        with self.open(name, limit) as file, self._damage(name):
            return file.read()

    @contextlib.contextmanager
    def open(self, name: str, limit: int | None = None) -> Iterator[BinaryIO]:
        """Open a member to read it (see ``read``)."""
        info = self._zip.getinfo(name)
        self._check(info, limit)
        with self._damage(name):
            file = self._zip.open(info)
        with file:
            yield cast(BinaryIO, file)

    def random_access(self, name: str) -> BinaryIO:
        """Return a member as a file to be read in any order, in the archive itself if it is not packed."""
        info = self._zip.getinfo(name)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            return io.BytesIO(self.read(name))
        self._file.seek(info.header_offset)
        header = self._file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size:
            raise AdvcliError(f"'{name}' in '{self.path}' is damaged: it has no header")
        start = info.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(header))
        return io.BufferedReader(_Part(self._file, start, info.file_size))

    def _check(self, info: zipfile.ZipInfo, limit: int | None) -> None:
        if limit is None:
            limit = max(_FREE, _EXPANSION * info.compress_size)
        _refuse_size(info.file_size, limit, f"'{info.filename}' in '{self.path}'")

    @contextlib.contextmanager
    def _damage(self, name: str) -> Iterator[None]:
        try:
            yield
        except DAMAGED as error:
            raise AdvcliError(f"'{name}' in '{self.path}' is damaged: {error}") from error


class _Part(io.RawIOBase):
    """A part of an open file.

    Args:
        file: the file.
        start: where the part begins.
        size: its length.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._place = file, start, size, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._place = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence])
        return self._place

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read some bytes."""
        self._file.seek(self._start + self._place)
        free = memoryview(buffer).cast("B")
        content = self._file.read(max(0, min(len(free), self._size - self._place)))
        free[: len(content)] = content
        self._place += len(content)
        return len(content)


class _Gunzipped(io.RawIOBase):
    """What a .gz file holds, until a limit.

    Args:
        file: the packed file.
        limit: the most unpacked bytes.
        name: the file in messages.
    """

    def __init__(self, file: BinaryIO, limit: int, name: str) -> None:
        self._unpacked = gzip.GzipFile(fileobj=file)
        self._limit, self._name = limit, name

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read some bytes.

        Raises:
            AdvcliError: that is more than the limit.
        """
        free = memoryview(buffer).cast("B")
        content = self._unpacked.read(len(free))
        free[: len(content)] = content
        _refuse_size(self._unpacked.tell(), self._limit, self._name)
        return len(content)


def gunzip(path: Path, limit: int) -> bytes:
    """Read and unpack a .gz file of at most ``limit`` unpacked bytes.

    Raises:
        AdvcliError: it cannot be read, is damaged, or holds more.
    """
    with open_file(path, limit + MEGA) as file:
        try:
            return _Gunzipped(file, limit, f"'{path}'").read()
        except (OSError, EOFError, zlib.error) as error:
            raise AdvcliError(f"'{path}' is not a readable .gz file: {error}") from error


def read_tar(path: Path, names: Sequence[str], limit: int) -> dict[str, bytes]:
    """Read the named files of a .tar.gz archive, in whatever folders they are: name -> content of those it has.

    Raises:
        AdvcliError: it cannot be read, or all of it unpacks to more than ``limit`` bytes.
    """
    found: dict[str, bytes] = {}
    with open_file(path, limit + MEGA) as file:
        try:
            unpacked = io.BufferedReader(_Gunzipped(file, limit, f"'{path}'"))
            # As a stream: nothing is unpacked twice.
            with tarfile.open(fileobj=unpacked, mode="r|") as archive:
                for member in archive:
                    name = member.name.rpartition("/")[2]
                    if member.isreg() and name in names:
                        content = archive.extractfile(member)
                        found[name] = b"" if content is None else content.read()
        except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
            raise AdvcliError(f"'{path}' is not a readable .tar.gz archive: {error}") from error
    return found


def _refuse_mode(mode: int, path: Path) -> None:
    for is_kind, kind in _KINDS:
        if is_kind(mode):
            raise UsageError(f"'{path}' is {kind}, not a file", "write its content to a file and give that")


def _refuse_size(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise AdvcliError(f"{what} has {_bytes(size)}, more than the {_bytes(limit)} allowed")


def _bytes(size: int) -> str:
    for unit, name in ((GIGA, "GB"), (MEGA, "MB"), (KILO, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
