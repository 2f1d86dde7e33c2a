"""Defocus blur: convolution with a disk, as in an image that is out of focus.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy import fft, ndimage

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

# The disk's radius, and the standard deviation that its edge is smoothed with.
_DISK = {
    224: ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    64: ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
    32: ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
}


@dataclass(frozen=True)
class DefocusBlur(Corruption):
    """Convolution with a disk, with reflection padding."""

    group: ClassVar[str] = "blur"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Blur: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        kernel = disk(*table(side, severity, _DISK))
        reach = len(kernel) // 2
        size = fft.next_fast_len(side + 2 * reach, real=True)
        places = _mirrored(np.arange(-reach, side + reach), side)
        spectrum = np.asarray(fft.rfft2(kernel, (size, size)))
        blurred = np.empty_like(images)
        for image, place in zip(images, blurred, strict=True):
            padded = image.transpose(2, 0, 1)[:, places][:, :, places]
            whole = np.asarray(fft.irfft2(np.asarray(fft.rfft2(padded, (size, size))) * spectrum, (size, size)))
            place[:] = whole[:, 2 * reach : 2 * reach + side, 2 * reach : 2 * reach + side].transpose(1, 2, 0)
        return np.clip(blurred, 0, 1)


@lru_cache(maxsize=32)
def disk(radius: float, alias: float) -> np.ndarray:
    """Return the kernel of a disk with a smoothed edge: -> (K, K) float32, without the zero rows around it.

    A disk that reaches the border of the published grid, with a radius of 8 or 10, is reflected there by the smoothing.
    The sum of the kernel is then up to 1.5% greater than 1, as in the published images.
    """
    half = max(8, math.ceil(radius))
    places = np.arange(-half, half + 1)
    inside = (places[:, None] ** 2 + places**2 <= radius**2).astype(np.float64)
    smooth = ndimage.gaussian_filter(inside / inside.sum(), alias, mode="mirror", radius=1 if radius <= 8 else 2)
    empty = min(int(np.flatnonzero(smooth.max(axis=0) > 1e-9)[0]), half)
    return smooth[empty : len(smooth) - empty, empty : len(smooth) - empty].astype(np.float32)


def _mirrored(places: np.ndarray, side: int) -> np.ndarray:
    """Map indices outside an image into it by reflection, without repeating the first and last pixels."""
    period = 2 * side - 2
    return side - 1 - np.abs(places % period - (side - 1))


COMPONENT = DefocusBlur
