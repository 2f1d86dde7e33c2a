"""Cosine decay from the maximum learning rate to zero.

Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Cosine:
    """``(1 + cos(pi * progress)) / 2``."""

    rises: ClassVar[bool] = False

    def __call__(self, progress: float, losses: Sequence[float]) -> float:
        """Return the fraction: 1 at the start, 0 at the end."""
        return 0.5 * (1 + math.cos(math.pi * progress))


COMPONENT = Cosine
