"""How the learning rate goes, after the warm-up: one file a schedule."""

from collections.abc import Sequence
from typing import Protocol


class Schedule(Protocol):
    """A learning rate as a fraction of the highest."""

    def __call__(self, progress: float, losses: Sequence[float]) -> float:
        """Return the fraction for a step.

        Args:
            progress: how much of the training is done after the warm-up, in [0, 1).
            losses: the training losses of the whole epochs done so far.
        """
        ...
