"""Constant learning rate from the warm-up to the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Constant:
    """Always 1."""

    rises: ClassVar[bool] = False

    def __call__(self, progress: float, losses: Sequence[float]) -> float:
        """Return 1."""
        return 1.0


COMPONENT = Constant
