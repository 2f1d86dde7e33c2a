"""One triangle: up from zero and down to zero, for short training at high rates.

Smith 2017, https://arxiv.org/abs/1506.01186; for adversarial training Wong, Rice and Kolter 2020,
https://arxiv.org/abs/2001.03994
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from advcli.errors import UsageError


@dataclass(frozen=True)
class Cyclic:
    """A straight line up and a straight line down.

    Args:
        peak: where the highest rate is reached, as a part of the training.
    """

    rises: ClassVar[bool] = True

    peak: float = 0.4

    def __post_init__(self) -> None:
        if not 0 < self.peak < 1:
            raise UsageError(f"peak of cyclic is between 0 and 1, not {self.peak:g}")

    def __call__(self, progress: float, losses: Sequence[float]) -> float:
        """Return the fraction: 0 at both ends."""
        return progress / self.peak if progress < self.peak else (1 - progress) / (1 - self.peak)


COMPONENT = Cyclic
