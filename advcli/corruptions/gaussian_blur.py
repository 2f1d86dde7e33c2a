"""Gaussian blur: convolution with a Gaussian.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

_SIGMA = {
    224: (1, 2, 3, 4, 6),
    64: (0.5, 0.75, 1, 1.25, 1.5),
    32: (0.4, 0.6, 0.7, 0.8, 1),
}


@dataclass(frozen=True)
class GaussianBlur(Corruption):
    """Convolution with a Gaussian truncated at four standard deviations, with edge padding."""

    group: ClassVar[str] = "extra"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Blur: (N, H, W, C) -> (N, H, W, C)."""
        (sigma,) = table(images.shape[1], severity, _SIGMA)
        return np.clip(ndimage.gaussian_filter(images, (0, sigma, sigma, 0), mode="nearest"), 0, 1)


COMPONENT = GaussianBlur
