"""Steps down at two points of the training, as most papers on adversarial training have it.

Rice, Wong and Kolter 2020, https://arxiv.org/abs/2002.11569
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from advcli.errors import UsageError


@dataclass(frozen=True)
class Piecewise:
    """``factor`` times the rate from the first point on, and once more from the second.

    Args:
        first: where the rate falls first, as a part of the training.
        second: where it falls again.
        factor: what it is multiplied by each time.
    """

    rises: ClassVar[bool] = False

    first: float = 0.5
    second: float = 0.75
    factor: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.second < 1:
            raise UsageError(f"piecewise falls at {self.first:g} and {self.second:g}", "give two rising parts of 1")
        if not 0 < self.factor < 1:
            raise UsageError(f"factor is a part of 1, not {self.factor:g}")

    def __call__(self, progress: float, losses: Sequence[float]) -> float:
        """Return the fraction."""
        return self.factor ** ((progress >= self.first) + (progress >= self.second))


COMPONENT = Piecewise
