"""The sRGB curve and its inverse, between pixel values and light: IEC 61966-2-1."""

from functools import lru_cache

import numpy as np


def to_linear(images: np.ndarray) -> np.ndarray:
    """Return the light of pixel values: float32 in [0, 1] -> float32 in [0, 1], a new array.

    Multiples of 1/255 are looked up, which gives the same values in less time.
    """
    levels = np.rint(images * np.float32(255)).astype(np.uint8)
    if np.array_equal(_eight_bits()[0].take(levels), images):
        return _eight_bits()[1].take(levels)
    return _light(images)


def to_srgb(light: np.ndarray) -> np.ndarray:
    """Return the pixel values of light: float32, at least 0 -> float32, a new array; light above 1 stays above 1."""
    values = light ** np.float32(1 / 2.4)
    values *= np.float32(1.055)
    values -= np.float32(0.055)
    return np.where(light <= np.float32(0.0031308), light * np.float32(12.92), values)


def _light(values: np.ndarray) -> np.ndarray:
    light = ((values + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(values <= np.float32(0.04045), values / np.float32(12.92), light)


@lru_cache(maxsize=1)
def _eight_bits() -> tuple[np.ndarray, np.ndarray]:
    """Return the 256 pixel values and their light."""
    values = np.arange(256, dtype=np.float32) / np.float32(255)
    return values, _light(values)
