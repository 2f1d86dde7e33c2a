"""Step decay whenever the training loss stops decreasing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from advcli.errors import UsageError
from advcli.schedules import since_best


@dataclass(frozen=True)
class Plateau:
    """Multiply the rate by ``factor`` each time the loss has not decreased for ``patience`` epochs.

    Args:
        patience: number of epochs without a decrease before each decay.
        factor: factor of each decay.
        threshold: minimum decrease that counts, as a fraction of the best loss.
        floor: minimum of the rate, as a fraction of its maximum.
    """

    rises: ClassVar[bool] = False

    patience: int = 2
    factor: float = 0.1
    threshold: float = 0.01
    floor: float = 0.001

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise UsageError(f"patience is less than one epoch: {self.patience}")
        if not 0 < self.factor < 1:
            raise UsageError(f"factor is not between 0 and 1: {self.factor:g}")
        if not (0 <= self.threshold < 1 and 0 <= self.floor <= 1):
            raise UsageError("threshold and floor of plateau are not fractions", "give numbers from 0 to 1")

    def __call__(self, progress: float, losses: Sequence[float]) -> float:
        """Return the fraction, computed from all losses, so that the schedule has no state."""
        fraction, start = 1.0, 0
        for end in range(1, len(losses) + 1):
            if since_best(losses[start:end], self.threshold) >= self.patience:
                fraction, start = fraction * self.factor, end
        return max(fraction, self.floor)


COMPONENT = Plateau
