"""The results file: the protocol, then every finished batch, then the scores."""

import glob
import os
from pathlib import Path
from typing import IO

from advcli.errors import AdvcliError, UsageError
from advcli.files.lock import lock
from advcli.records import Protocol, Record, Smoothed, Verdicts
from advcli.tasks.benchmark.read_results import read_contents, read_protocol, write_line
from advcli.tasks.benchmark.same_protocol import refuse_different


class Journal:
    """A results file to which every finished batch is appended, so that nothing is measured twice.

    Args:
        path: the file.
        file: the same, opened for appending.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._file = file

    @classmethod
    def begin(cls, path: Path, protocol: Protocol) -> "Journal":
        """Begin a new file with the protocol.

        Raises:
            AdvcliError: the file cannot be written.
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
        """Continue a file: -> the journal, and its finished batches.

        An incomplete last line and the scores are removed. Other lines stay, also those that cannot be used.

        Raises:
            UsageError: the file is of another model, other data or another protocol.
        """
        refuse_different(read_protocol(path), protocol, path)
        try:
            file = path.open("r+b")
        except OSError as error:
            raise AdvcliError(f"cannot write '{path}': {error.strerror or error}") from error
        _lock(file, path)
        found = read_contents(path, protocol)
        try:
            file.truncate(found.end)
            file.seek(found.end)
            if not found.whole:
                file.write(b"\n")
        except OSError as error:
            raise AdvcliError(f"cannot write '{path}': {error.strerror or error}") from error
        return cls(path, file), list(found.batches)

    def append(self, *lines: Record) -> None:
        """Write records, and wait until they are on the disk.

        Raises:
            AdvcliError: they cannot be written.
        """
        try:
            for line in lines:
                self._file.write(write_line(line))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise AdvcliError(f"cannot write '{self.path}': {error.strerror or error}") from error

    def answers(self, fingerprint: str, *, anew: bool) -> Path:
        """Return the file for a remote model's answers to the unfinished batch.

        Args:
            fingerprint: of the model.
            anew: whether answers that are there already are of another evaluation.
        """
        file = self.path.with_name(f"{self.path.name}.{fingerprint}.answers")
        if anew:
            file.unlink(missing_ok=True)
        return file

    def remove_answers(self) -> None:
        """Remove the files of answers: all batches are finished."""
        for file in self.path.parent.glob(f"{glob.escape(self.path.name)}.*.answers"):
            file.unlink(missing_ok=True)


def _lock(file: IO[bytes], path: Path) -> None:
    """Lock the file; the system releases the lock of a killed process.

    Raises:
        UsageError: another process is writing it.
    """
    if not lock(file):
        raise UsageError(f"another process is writing '{path}'", "wait for it, or give another --out")
