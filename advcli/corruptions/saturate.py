"""Saturate: decrease or increase the saturation of colours.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

# What the saturation is multiplied with, and what is added to it.
_SATURATION = {
    224: ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    64: ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
    32: ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
}


@dataclass(frozen=True)
class Saturate(Corruption):
    """``clip(a * saturation + b)`` in HSV; hue and value are unchanged.

    Grey pixels of a colour image have the hue 0, so the constant makes them reddish, as in the published sets. Images
    of one channel have no saturation and are unchanged.
    """

    group: ClassVar[str] = "extra"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Change the saturation: (N, H, W, C) -> (N, H, W, C)."""
        if images.shape[3] == 1:
            return images.copy()
        factor, added = (np.float32(x) for x in table(images.shape[1], severity, _SATURATION))
        value = images.max(axis=3, keepdims=True)
        spread = value - images.min(axis=3, keepdims=True)
        # How far below the value each channel is, as a part of how far the lowest is; 0, 1, 1 is red.
        depths = np.zeros_like(images) + np.array([0, 1, 1], np.float32)
        np.divide(value - images, spread, out=depths, where=spread > 0)
        saturation = np.divide(spread, value, out=np.zeros_like(value), where=value > 0)
        return np.clip(value * (1 - depths * np.clip(saturation * factor + added, 0, 1)), 0, 1)


COMPONENT = Saturate
