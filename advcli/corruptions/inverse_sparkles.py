"""Inverse sparkles: turn everything white but rays around a point.

Mintun, Kirillov and Xie 2021, https://arxiv.org/abs/2102.11273
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption, _rays
from advcli.corruptions._parameters import table

# The authors' levels, from 0 to 10; ImageNet-C-bar has them for 224 pixels, CIFAR-10-C-bar for 32.
_LEVEL = {224: (1, 2, 4, 9, 10), 32: (1, 1.5, 2.5, 4.5, 5)}


@dataclass(frozen=True)
class InverseSparkles(Corruption):
    """``1 + g * (x - 1)``; the glow g has 50 to 199 rays a quarter of the side long and the power ``0.13 * level``."""

    group: ClassVar[str] = "bar"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Whiten: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        (level,) = table(side, severity, _LEVEL)
        kept = np.stack([_kept(side, 0.13 * level, generator) for generator in generators])
        return 1 + kept[..., None] * (images - 1)


def _kept(side: int, power: float, generator: np.random.Generator) -> np.ndarray:
    """Return how much of each pixel is kept: -> (side, side) float32 in [0, 1]."""
    centre = generator.uniform(0.25, 0.75, 2) * side
    radius = 0.25 * side
    lengths = radius + 0.25 * radius * generator.standard_normal(generator.integers(50, 200))
    return _rays.glow(side, centre, lengths, power)


COMPONENT = InverseSparkles
