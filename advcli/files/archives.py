"""Read archives that others wrote: .zip, .gz and .tar.gz, and no more bytes than what they are for needs.

A limit is checked by the sizes that an archive declares, before anything is unpacked.
"""

import contextlib
import gzip
import io
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from advcli.errors import AdvcliError
from advcli.files.bounded import MEGA, open_file, refuse_size

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# A member of an archive may unpack to this, or to so many times its packed bytes.
_FREE, _EXPANSION = 256 * MEGA, 20

# Of a member's own header: the lengths of its name and of what follows that.
_LOCAL_HEADER = struct.Struct("<26xHH")

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
        refuse_size(total, max(_FREE, _EXPANSION * self._size), f"the unpacked content of '{self.path}'")

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
        refuse_size(info.file_size, limit, f"'{info.filename}' in '{self.path}'")

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
        refuse_size(self._unpacked.tell(), self._limit, self._name)
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
