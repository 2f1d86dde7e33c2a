"""Work on a batch in smaller ones when memory is exhausted."""

import logging
from collections.abc import Callable

import numpy as np

from advcli.errors import AdvcliError, is_out_of_memory

log = logging.getLogger(__name__)


class SmallerBatches:
    """Call functions of whole batches; halve the batch, now and in later calls, when memory is exhausted.

    The result is the same: what is computed for an image does not depend on the others of its batch.

    Args:
        can_halve: whether to do so; else the error is raised.
    """

    def __init__(self, *, can_halve: bool = True) -> None:
        self._can_halve = can_halve
        self._most: int | None = None

    def __call__(self, compute: Callable[..., tuple[np.ndarray, ...]], *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Call a function of arrays of N rows that returns arrays of N rows.

        Raises:
            AdvcliError: memory does not suffice for one row.
        """
        found: list[tuple[np.ndarray, ...]] = []
        start, count = 0, len(arrays[0])
        while start < count or not found:
            size = min(count - start, self._most or count)
            try:
                found.append(compute(*(array[start : start + size] for array in arrays)))
                start += size
            except Exception as error:
                if not self._can_halve or not is_out_of_memory(error):
                    raise
                self._halve(size, error)
        return found[0] if len(found) == 1 else tuple(np.concatenate(parts) for parts in zip(*found, strict=True))

    def _halve(self, size: int, error: Exception) -> None:
        if size <= 1:
            message = "out of memory for a single image"
            raise AdvcliError(message, "use smaller images, a smaller model, or a machine with more memory") from error
        if self._most is None:
            log.warning("out of memory for %d images at once: smaller batches are used (see --batch)", size)
        self._most = size // 2
