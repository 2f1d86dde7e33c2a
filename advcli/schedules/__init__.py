"""Learning-rate schedules: one file a schedule."""

from collections.abc import Sequence
from typing import ClassVar, Protocol


class Schedule(Protocol):
    """A learning rate as a fraction of its maximum.

    ``rises: ClassVar[bool]`` says whether the schedule starts with a low rate itself, so that it needs no warm-up.
    """

    rises: ClassVar[bool]

    def __call__(self, progress: float, losses: Sequence[float]) -> float:
        """Return the fraction for a step.

        Args:
            progress: fraction of the training after the warm-up that is done, in [0, 1).
            losses: the training losses of the completed epochs.
        """
        ...


def since_best(losses: Sequence[float], threshold: float) -> int:
    """Count the epochs since the loss last fell by more than ``threshold`` times its best value before."""
    best, waited = float("inf"), 0
    for loss in losses:
        if loss < best - threshold * abs(best) or best == float("inf"):
            best, waited = loss, 0
        else:
            waited += 1
    return waited
