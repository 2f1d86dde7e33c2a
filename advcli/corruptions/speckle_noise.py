"""Speckle noise: normal noise proportional to the brightness of the pixel.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

_SIGMA = {
    224: (0.15, 0.2, 0.35, 0.45, 0.6),
    64: (0.15, 0.2, 0.25, 0.3, 0.35),
    32: (0.06, 0.1, 0.12, 0.16, 0.2),
}


@dataclass(frozen=True)
class SpeckleNoise(Corruption):
    """``x + sigma * n * x``, n standard normal and independent for each pixel and channel."""

    group: ClassVar[str] = "extra"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add noise: (N, H, W, C) -> (N, H, W, C)."""
        (sigma,) = table(images.shape[1], severity, _SIGMA)
        noise = np.stack([generator.standard_normal(images.shape[1:], np.float32) for generator in generators])
        return np.clip(images * (1 + np.float32(sigma) * noise), 0, 1)


COMPONENT = SpeckleNoise
