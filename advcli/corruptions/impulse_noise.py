"""Impulse noise: salt-and-pepper noise in each channel, as from bit errors.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

_AMOUNT = {
    224: (0.03, 0.06, 0.09, 0.17, 0.27),
    64: (0.01, 0.02, 0.05, 0.08, 0.14),
    32: (0.01, 0.02, 0.03, 0.05, 0.07),
}


@dataclass(frozen=True)
class ImpulseNoise(Corruption):
    """Each value, independent for each pixel and channel, is replaced with a probability: by 0 or 1, equally often."""

    group: ClassVar[str] = "noise"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add noise: (N, H, W, C) -> (N, H, W, C)."""
        (amount,) = table(images.shape[1], severity, _AMOUNT)
        sampled = np.stack([generator.random(images.shape[1:], np.float32) for generator in generators])
        return np.where(sampled < amount, np.float32(sampled < amount / 2), images)


COMPONENT = ImpulseNoise
