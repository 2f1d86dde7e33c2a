"""Steps down whenever the training loss has stopped falling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from advcli.errors import UsageError
from advcli.schedules import since_best


@dataclass(frozen=True)
class Plateau:
    """``factor`` times the rate each time the loss has not fallen clearly for some epochs.

    Args:
        patience: how many epochs without a clear fall are waited for.
        factor: what the rate is multiplied by.
        threshold: which part of the best loss it has to fall by to count.
        floor: the lowest fraction of the highest rate.
    """

    rises: ClassVar[bool] = False

    patience: int = 2
    factor: float = 0.1
    threshold: float = 0.01
    floor: float = 0.001

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise UsageError(f"patience is at least one epoch, not {self.patience}")
        if not 0 < self.factor < 1:
            raise UsageError(f"factor is a part of 1, not {self.factor:g}")
        if not (0 <= self.threshold < 1 and 0 <= self.floor <= 1):
            raise UsageError("threshold and floor of plateau are parts of 1")

    def __call__(self, progress: float, losses: Sequence[float]) -> float:
        """Return the fraction, worked out anew from all losses, so that there is nothing to keep."""
        fraction, start = 1.0, 0
        for end in range(1, len(losses) + 1):
            if since_best(losses[start:end], self.threshold) >= self.patience:
                fraction, start = fraction * self.factor, end
        return max(fraction, self.floor)


COMPONENT = Plateau
