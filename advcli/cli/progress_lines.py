"""Progress where there is no terminal: a line at each tenth of the work, or after half a minute."""

import time
from collections.abc import Callable

from advcli.records import Progress

# Seconds: work that ends sooner needs no line, and longer silence looks like a process that hangs.
_SHORT, _SILENCE = 20.0, 30.0
_PARTS = 10


class ProgressLines:
    """Decides when a line of progress is due, and what it says.

    Args:
        clock: the time in seconds, which never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stage = Progress("", 0, 0)
        self._begin = self._last = clock()
        self._first = 0
        self._part = 0

    def line(self, progress: Progress) -> str | None:
        """Return the line that is due after some progress; None if none is."""
        now = self._clock()
        if progress.of != self._stage.of or progress.done < self._stage.done:
            # A new stage: the speed of the last one does not apply.
            self._begin, self._last = now, now
            self._first, self._part = progress.done, 0
        self._stage = progress
        part = _PARTS * progress.done // progress.of if progress.of else 0
        due = part > self._part or now - self._last >= _SILENCE
        if now - self._begin < _SHORT or not due:
            return None
        self._part, self._last = part, now
        return self._written(progress, now - self._begin)

    def _written(self, progress: Progress, seconds: float) -> str:
        if not progress.of:
            return f"{progress.what}, {duration(seconds)}"
        parts = [f"{progress.what}: {progress.done} of {progress.of}"]
        rate = (progress.done - self._first) / seconds
        if rate > 0:
            parts += [f"{rate:.3g} a second", f"{duration((progress.of - progress.done) / rate)} left"]
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """Write a time: ``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
