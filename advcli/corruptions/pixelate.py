"""Pixelate: reduce the number of pixels, and enlarge again.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption, _separable
from advcli.corruptions._parameters import table

_KEPT = {
    224: (0.6, 0.5, 0.4, 0.3, 0.25),
    64: (0.9, 0.8, 0.7, 0.6, 0.5),
    32: (0.95, 0.9, 0.85, 0.75, 0.65),
}


@dataclass(frozen=True)
class Pixelate(Corruption):
    """Box means, rounded to 8 bits after rows and after columns, enlarged by nearest neighbour.

    The published code enlarges with a box filter too, which is the same, because each box lies within one coarse pixel.
    """

    group: ClassVar[str] = "digital"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Pixelate images: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        (kept,) = table(side, severity, _KEPT)
        small = int(side * kept)
        means = _separable.boxes(side, small)
        planes = np.multiply(images.transpose(0, 3, 1, 2), np.float32(255), order="C")
        coarse = _rounded(means @ _rounded(_rounded(planes) @ means.T))
        coarse /= 255
        places = ((np.arange(side) + 0.5) * (small / side)).astype(int)
        return coarse.take(places, axis=2).take(places, axis=3).transpose(0, 2, 3, 1)


def _rounded(values: np.ndarray) -> np.ndarray:
    values += 0.5
    return np.floor(values, out=values)


COMPONENT = Pixelate
