"""The file of results: what is measured first, then every finished batch as it is done, at last what it comes to."""

import json
import os
from pathlib import Path
from typing import IO

from advcli.errors import AdvcliError, UsageError
from advcli.files.lock import lock
from advcli.records import Protocol, Record, Smoothed, Verdicts
from advcli.tasks.benchmark.read_results import BATCHES, read_batches, read_protocol
from advcli.tasks.benchmark.same_protocol import refuse_different


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
            if not line.endswith(b"\n") or (number and json.loads(line)["type"] not in BATCHES):
                break
            end += len(line)
        self._file.seek(end)
        self._file.truncate()


def _lock(file: IO[bytes], path: Path) -> None:
    """Keep other processes from the file; of one that is killed, the system lets go.

    Raises:
        UsageError: another process writes it now.
    """
    if not lock(file):
        raise UsageError(f"another process is writing '{path}'", "wait for it, or give another --out")
