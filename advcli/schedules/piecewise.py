"""Step decay at two points of the training, as in most papers on adversarial training.

Rice, Wong and Kolter 2020, https://arxiv.org/abs/2002.11569
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from advcli.errors import UsageError


@dataclass(frozen=True)
class Piecewise:
    """1 before ``first``, ``factor`` until ``second``, then ``factor ** 2``.

    Args:
        first: position of the first decay, as a fraction of the training.
        second: position of the second decay.
        factor: factor of each decay.
    """

    rises: ClassVar[bool] = False

    first: float = 0.5
    second: float = 0.75
    factor: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.second < 1:
            raise UsageError(
                f"first {self.first:g} and second {self.second:g} of piecewise are not increasing fractions",
                "give 0.5 and 0.75, for example",
            )
        if not 0 < self.factor < 1:
            raise UsageError(f"factor is not between 0 and 1: {self.factor:g}")

    def __call__(self, progress: float, losses: Sequence[float]) -> float:
        """Return the fraction."""
        return self.factor ** ((progress >= self.first) + (progress >= self.second))


COMPONENT = Piecewise
