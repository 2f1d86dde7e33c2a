"""Gaussian noise: normal noise on every value, as from a sensor in low light.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

_SIGMA = {
    224: (0.08, 0.12, 0.18, 0.26, 0.38),
    64: (0.04, 0.08, 0.12, 0.15, 0.18),
    32: (0.04, 0.06, 0.08, 0.09, 0.10),
}


@dataclass(frozen=True)
class GaussianNoise(Corruption):
    """``x + sigma * n``, n standard normal and independent for each pixel and channel."""

    group: ClassVar[str] = "noise"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add noise: (N, H, W, C) -> (N, H, W, C)."""
        (sigma,) = table(images.shape[1], severity, _SIGMA)
        noise = np.stack([generator.standard_normal(images.shape[1:], np.float32) for generator in generators])
        noise *= np.float32(sigma)
        noise += images
        return np.clip(noise, 0, 1, out=noise)


COMPONENT = GaussianNoise
