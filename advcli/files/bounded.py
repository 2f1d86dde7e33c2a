"""Read files that others wrote: regular files only, and no more bytes than what they are for needs.

A limit is checked by the size that a file declares, before it is read.
"""

import json
import os
import stat
from pathlib import Path
from typing import BinaryIO

from advcli.errors import AdvcliError, UsageError
from advcli.records.base import Json

KILO, MEGA, GIGA = 10**3, 10**6, 10**9

# What a text for people and programs may take: class names, options, a configuration, a record.
TEXT = 16 * MEGA

# Of JSON; the configuration of a model within models within models has fewer levels.
_DEEPEST = 200

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
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
        refuse_size(found.st_size, limit, f"'{path}'")
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
    refuse_size(len(content), limit, f"'{path}'")
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
    from advcli.files.kinds import kind_of
    from advcli.files.wrong_kind import other_kind

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


def _refuse_mode(mode: int, path: Path) -> None:
    for is_kind, kind in _KINDS:
        if is_kind(mode):
            raise UsageError(f"'{path}' is {kind}, not a file", "write its content to a file and give that")


def refuse_size(size: int, limit: int, what: str) -> None:
    """Refuse more bytes than a limit.

    Args:
        size: the bytes that there are.
        limit: the most that are allowed.
        what: the file in the message.

    Raises:
        AdvcliError: there are more.
    """
    if size > limit:
        raise AdvcliError(f"{what} has {_bytes(size)}, more than the {_bytes(limit)} allowed")


def _bytes(size: int) -> str:
    for unit, name in ((GIGA, "GB"), (MEGA, "MB"), (KILO, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
