"""Brightness: increase the brightness.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

_ADDED = {
    224: (0.1, 0.2, 0.3, 0.4, 0.5),
    64: (0.1, 0.2, 0.3, 0.4, 0.5),
    32: (0.05, 0.1, 0.15, 0.2, 0.3),
}


@dataclass(frozen=True)
class Brightness(Corruption):
    """Add a constant to the value of HSV; hue and saturation are unchanged."""

    group: ClassVar[str] = "weather"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Increase the brightness: (N, H, W, C) -> (N, H, W, C)."""
        (added,) = table(images.shape[1], severity, _ADDED)
        value = images.max(axis=3, keepdims=True)
        brighter = np.minimum(value + np.float32(added), 1)
        # Black has no colour, and becomes grey.
        shares = np.divide(images, value, out=np.ones_like(images), where=value > 0)
        return np.clip(shares * brighter, 0, 1)


COMPONENT = Brightness
