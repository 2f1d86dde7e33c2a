"""The file of results: what is measured first, then every finished batch as it is done, at last what it comes to."""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from advcli import records
from advcli.errors import AdvcliError, UsageError
from advcli.records import Protocol, Record, Smoothed, Verdicts

try:
    import fcntl
except ImportError:  # Windows has another way, and no need here
    fcntl = None

_KEPT = {kind.type: kind for kind in (Verdicts, Smoothed)}
# What may differ between two calls that measure the same.
_FREE = ("options", "environment", "version", "type")


class Journal:
    """A file that every finished batch is appended to, so that nothing is measured twice.

    Args:
        path: the file.
        file: the same, opened for appending.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._file = file

    @classmethod
    def begin(cls, path: Path, protocol: Protocol) -> "Journal":
        """Begin a new file with what is measured.

        Raises:
            AdvcliError: it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("ab")
            _lock(file, path)
            file.truncate(0)
        except OSError as error:
            raise AdvcliError(f"cannot write '{path}': {error.strerror or error}") from error
        journal = cls(path, file)
        journal.append(protocol)
        return journal

    @classmethod
    def resume(cls, path: Path, protocol: Protocol) -> tuple["Journal", list[Verdicts | Smoothed]]:
        """Go on with a file: -> the journal, and what is known already.

        A line that was not finished, and what the results came to, are cut off.

        Raises:
            UsageError: the file is of another model, other data or another protocol.
        """
        refuse_different(read_protocol(path), protocol, path)
        try:
            file = path.open("r+b")
        except OSError as error:
            raise AdvcliError(f"cannot write '{path}': {error.strerror or error}") from error
        _lock(file, path)
        done = list(read_batches(path))
        journal = cls(path, file)
        journal._cut()
        return journal, done

    def append(self, *lines: Record) -> None:
        """Write records, and wait until they are on the disk.

        Raises:
            AdvcliError: they cannot be written.
        """
        try:
            for line in lines:
                self._file.write(line.to_json().encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise AdvcliError(f"cannot write '{self.path}': {error.strerror or error}") from error

    def _cut(self) -> None:
        end = 0
        for number, line in enumerate(self._file):
            if not line.endswith(b"\n") or (number and json.loads(line)["type"] not in _KEPT):
                break
            end += len(line)
        self._file.seek(end)
        self._file.truncate()


def read_protocol(path: Path) -> Protocol:
    """Read what a file of results is of.

    Raises:
        UsageError: there is no such file, or it is none.
    """
    try:
        with path.open(encoding="utf-8") as file:
            content = json.loads(file.readline())
        if content.get("type") != Protocol.type:
            raise ValueError("its first line is no protocol")
        return _record(Protocol, content)
    except FileNotFoundError:
        raise UsageError(f"no such file: '{path}'", "write one with --out FILE, then go on with it") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"'{path}' is no file of results: {reason}", "benchmark --out FILE writes one") from error


def read_batches(path: Path) -> Iterator[Verdicts | Smoothed]:
    """Read the finished batches of a file of results, up to the first line that is not whole.

    Raises:
        UsageError: a line before that is damaged.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                if json.loads(line)["type"] in _KEPT:
                    yield read_line(line)
            except (ValueError, TypeError, KeyError) as error:
                raise UsageError(f"line {number} of '{path}' is damaged: {error}", "measure anew with --out") from error


def read_line(line: str | bytes) -> Verdicts | Smoothed:
    """Read one finished batch."""
    content = json.loads(line)
    return _record(_KEPT[content["type"]], content)


def read_scores(path: Path) -> list[records.Score]:
    """Read the scores of a file of results, or of what ``--json`` wrote.

    Raises:
        UsageError: there are none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [_record(records.Score, item) for item in map(json.loads, lines) if item.get("type") == "score"]
    except FileNotFoundError:
        raise UsageError(
            f"no such file: '{path}'", "--baseline names a file of results, or what --json wrote"
        ) from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"'{path}' cannot be read: {error}", "--baseline names a file of results") from error
    if not found:
        raise UsageError(f"'{path}' holds no scores", "--baseline names a file of results that is finished")
    return found


def refuse_different(before: Protocol, now: Protocol, path: Path, free: Iterable[str] = ()) -> None:
    """Refuse to put results of different things together.

    Args:
        before: what a file is of.
        now: what is to be measured.
        path: the file.
        free: what else may differ.

    Raises:
        UsageError: they differ.
    """
    was, are = (json.loads(protocol.to_json()) for protocol in (before, now))
    differences = [
        _difference(key, was.get(key), are.get(key))
        for key in are
        if key not in (*_FREE, *free) and was.get(key) != are.get(key)
    ]
    if differences:
        raise UsageError(
            f"'{path}' is of something else: {'; '.join(differences)}",
            "give the options it was made with, or another --out",
        )


def _lock(file: IO[bytes], path: Path) -> None:
    """Keep other processes from the file; of one that is killed, the system lets go.

    Raises:
        UsageError: another process writes it now.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"another process is writing '{path}'", "wait for it, or give another --out") from None


def _difference(key: str, was: Any, now: Any) -> str:
    if isinstance(was, list) and isinstance(now, list):
        gone = [_short(item) for item in was if item not in now]
        new = [_short(item) for item in now if item not in was]
        if gone or new:
            return f"{key}: {', '.join(gone) or 'nothing'} there, {', '.join(new) or 'nothing'} here"
        return f"{key}: the order differs"
    return f"{key}: {_short(was)} there, {_short(now)} here"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        shown = {name: item for name, item in value.items() if item not in (None, [], "") and name != "labels"}
        return " ".join(f"{name} {_short(item)}" for name, item in shown.items())
    return str(value)


def _record(kind: type, content: dict[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(kind)}
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items() if key in known}
    return kind(**values)
