"""One cycle: a fast increase from a low rate, then a long cosine decay to almost zero.

Smith and Topin 2018, https://arxiv.org/abs/1708.07120
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from advcli.errors import UsageError


@dataclass(frozen=True)
class OneCycle:
    """A half cosine from ``start`` to 1, then a half cosine from 1 to ``end``.

    Args:
        peak: position of the maximum, as a fraction of the training.
        start: the first rate, as a fraction of the maximum.
        end: the last rate, as a fraction of the maximum.
    """

    rises: ClassVar[bool] = True

    peak: float = 0.3
    start: float = 0.04
    end: float = 0.00001

    def __post_init__(self) -> None:
        if not 0 < self.peak < 1:
            raise UsageError(f"peak of onecycle is not between 0 and 1: {self.peak:g}")
        if not (0 <= self.start <= 1 and 0 <= self.end <= 1):
            raise UsageError(
                "start and end of onecycle are not fractions of the maximum rate", "give numbers from 0 to 1"
            )

    def __call__(self, progress: float, losses: Sequence[float]) -> float:
        """Return the fraction."""
        if progress < self.peak:
            return self._between(self.start, 1.0, progress / self.peak)
        return self._between(1.0, self.end, (progress - self.peak) / (1 - self.peak))

    @staticmethod
    def _between(low: float, high: float, share: float) -> float:
        return high + (low - high) * 0.5 * (1 + math.cos(math.pi * share))


COMPONENT = OneCycle
