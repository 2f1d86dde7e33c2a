"""Shot noise: Poisson noise of photon counts in low light.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

# How many photons a white pixel catches on average.
_PHOTONS = {
    224: (60, 25, 12, 5, 3),
    64: (250, 100, 50, 30, 15),
    32: (500, 250, 100, 75, 50),
}


@dataclass(frozen=True)
class ShotNoise(Corruption):
    """``Poisson(photons * x) / photons``, independent for each pixel and channel."""

    group: ClassVar[str] = "noise"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add noise: (N, H, W, C) -> (N, H, W, C)."""
        (photons,) = table(images.shape[1], severity, _PHOTONS)
        counts = np.empty_like(images)
        for image, place, generator in zip(images, counts, generators, strict=True):
            place[:] = generator.poisson(image * photons)
        counts /= np.float32(photons)
        return np.clip(counts, 0, 1, out=counts)


COMPONENT = ShotNoise
