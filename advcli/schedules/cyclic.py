"""One triangular cycle: linear from zero up and down to zero, for short training at high rates.

Smith 2017, https://arxiv.org/abs/1506.01186; for adversarial training Wong, Rice and Kolter 2020,
https://arxiv.org/abs/2001.03994
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from advcli.errors import UsageError


@dataclass(frozen=True)
class Cyclic:
    """``progress / peak`` up to the peak, then ``(1 - progress) / (1 - peak)``.

    Args:
        peak: position of the maximum, as a fraction of the training.
    """

    rises: ClassVar[bool] = True

    peak: float = 0.4

    def __post_init__(self) -> None:
        if not 0 < self.peak < 1:
            raise UsageError(f"peak of cyclic is not between 0 and 1: {self.peak:g}")

    def __call__(self, progress: float, losses: Sequence[float]) -> float:
        """Return the fraction: 0 at the start and at the end."""
        return progress / self.peak if progress < self.peak else (1 - progress) / (1 - self.peak)


COMPONENT = Cyclic
