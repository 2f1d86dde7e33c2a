"""Sparkles: add five bright points with rays.

Mintun, Kirillov and Xie 2021, https://arxiv.org/abs/2102.11273
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption, _rays
from advcli.corruptions._parameters import table

# The authors' levels, from 0 to 10; ImageNet-C-bar has them for 224 pixels, CIFAR-10-C-bar for 32.
_LEVEL = {224: (1, 2, 3, 5, 6), 32: (0.7, 3.5, 5.6, 6.3, 7)}
_SPARKLES = 5


@dataclass(frozen=True)
class Sparkles(Corruption):
    """``x + g * (1 - x)`` for each of five glows g, with 50 to 199 rays about ``level`` percent of the side long."""

    group: ClassVar[str] = "bar"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add sparkles: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        (level,) = table(side, severity, _LEVEL)
        dark = np.stack([_darkness(side, level / 100 * side, generator) for generator in generators])
        return 1 - dark[..., None] * (1 - images)


def _darkness(side: int, radius: float, generator: np.random.Generator) -> np.ndarray:
    """Return the product of ``1 - g`` over the glows: -> (side, side) float32 in [0, 1]."""
    centres = generator.uniform(0, side, (_SPARKLES, 2))
    counts = generator.integers(50, 200, _SPARKLES)
    dark = np.ones((side, side), np.float32)
    for centre, count in zip(centres, counts, strict=True):
        lengths = np.maximum(1, radius + 0.25 * radius * generator.standard_normal(count))
        dark *= 1 - _rays.glow(side, centre, lengths, 1)
    return dark


COMPONENT = Sparkles
