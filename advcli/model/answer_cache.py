"""The answers of a black box to the images of one batch, on disk, so that no image is paid for twice."""

import struct
import tempfile
from pathlib import Path
from typing import IO

import numpy as np

from advcli.errors import AdvcliError

_KEY_SIZE = 16
_COUNT = struct.Struct("<I")


class AnswerCache:
    """Scores by a hash of the pixels, until a batch is finished.

    An evaluation that is interrupted finds the answers for its unfinished batch in the file. ``queries`` counts the
    different images of a batch, whether this process sent them or an earlier one, so that a resumed evaluation counts
    as many as one that was not interrupted.

    Args:
        path: the file; None for one that ends with the process.
    """

    def __init__(self, path: Path | None = None) -> None:
        try:
            if path is not None:
                path.touch()
            self._file: IO[bytes] = (
                tempfile.TemporaryFile() if path is None else path.open("r+b")  # noqa: SIM115  open as long as the cache
            )
        except OSError as error:
            raise AdvcliError(f"cannot write '{path}': {error.strerror or error}") from error
        self._places: dict[bytes, int] = {}
        self._asked: set[bytes] = set()
        self._read()

    def get(self, key: bytes) -> np.ndarray | None:
        """Return the scores of an image of this batch, if they are known: -> (K,) float32."""
        self._asked.add(key)
        place = self._places.get(key)
        if place is None:
            return None
        self._file.seek(place)
        (count,) = _COUNT.unpack(self._file.read(_COUNT.size))
        return np.frombuffer(self._file.read(4 * count), "<f4")

    def put(self, key: bytes, scores: np.ndarray) -> None:
        """Keep the scores of an image: (K,) float32."""
        end = self._file.seek(0, 2)
        self._file.write(key + _COUNT.pack(len(scores)) + scores.astype("<f4").tobytes())
        self._places[key] = end + _KEY_SIZE

    def flush(self) -> None:
        """Hand what was kept to the operating system, which survives the end of the process."""
        self._file.flush()

    @property
    def queries(self) -> int:
        """How many different images the batch has asked about."""
        return len(self._asked)

    def end_batch(self) -> None:
        """Forget the batch, which is finished."""
        self._asked.clear()
        self._places.clear()
        self._file.seek(0)
        self._file.truncate()

    def _read(self) -> None:
        place, size = 0, self._file.seek(0, 2)
        self._file.seek(0)
        while len(head := self._file.read(_KEY_SIZE + _COUNT.size)) == _KEY_SIZE + _COUNT.size:
            (count,) = _COUNT.unpack(head[_KEY_SIZE:])
            if self._file.tell() + 4 * count > size:
                break
            self._file.seek(4 * count, 1)
            self._places[head[:_KEY_SIZE]] = place + _KEY_SIZE
            place += len(head) + 4 * count
        # A killed process may have written half of the last answer.
        self._file.seek(place)
        self._file.truncate()
