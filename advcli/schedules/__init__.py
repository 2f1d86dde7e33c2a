"""How the learning rate goes: one file a schedule."""

from collections.abc import Sequence
from typing import ClassVar, Protocol


class Schedule(Protocol):
    """A learning rate as a fraction of the highest.

    ``rises: ClassVar[bool]`` tells whether it begins low by itself, so that it needs no warm-up.
    """

    rises: ClassVar[bool]

    def __call__(self, progress: float, losses: Sequence[float]) -> float:
        """Return the fraction for a step.

        Args:
            progress: how much of the training is done after the warm-up, in [0, 1).
            losses: the training losses of the whole epochs done so far.
        """
        ...


def since_best(losses: Sequence[float], threshold: float) -> int:
    """Count the epochs since the loss last fell clearly: by more than ``threshold`` of its best value before."""
    best, waited = float("inf"), 0
    for loss in losses:
        if loss < best - threshold * abs(best) or best == float("inf"):
            best, waited = loss, 0
        else:
            waited += 1
    return waited
