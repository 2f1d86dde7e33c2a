"""Snow: add motion-blurred flakes, and whiten the image.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption, _motion, _separable
from advcli.corruptions._colour import luma
from advcli.corruptions._parameters import table

# Mean and standard deviation of the noise that becomes flakes, how much it is enlarged, what is too little for a
# flake, half the length of a streak, the standard deviation with which it fades, and how much of the image stays.
_SNOW = {
    224: (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    64: (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
    ),
    32: (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
}


@dataclass(frozen=True)
class Snow(Corruption):
    """Enlarged noise above a threshold, with motion blur at 45 to 135 degrees; added twice, once rotated by 180."""

    group: ClassVar[str] = "weather"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add snow: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        mean, std, factor, least, radius, sigma, kept = (np.float32(x) for x in table(side, severity, _SNOW))
        noise = np.stack([generator.standard_normal((side, side), np.float32) for generator in generators])
        flakes = _separable.apply(_separable.zoom(side, float(factor)), mean + std * noise)
        flakes[flakes < least] = 0
        # As published: before the blur and after it, the flakes have 8 bits.
        flakes = np.floor(np.clip(flakes, 0, 1) * 255)
        streaks = [
            _motion.moved(layer, round(float(radius)), float(sigma), generator.uniform(-135, -45))
            for layer, generator in zip(flakes, generators, strict=True)
        ]
        layer = np.rint(np.stack(streaks))[..., None] / 255
        white = kept * images + (1 - kept) * np.maximum(images, luma(images) * 1.5 + 0.5)
        return np.clip(white + layer + layer[:, ::-1, ::-1], 0, 1)


COMPONENT = Snow
