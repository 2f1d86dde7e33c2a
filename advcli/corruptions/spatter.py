"""Spatter: drops of water or mud on the lens.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage

from advcli.corruptions import Corruption, _edges
from advcli.corruptions._colour import colour_values
from advcli.corruptions._parameters import table

# Mean and standard deviation of the noise that becomes drops, that of the blur which gives them their size, what is
# too little for a drop, how strong they are (of mud: how soft), and whether they are of mud.
_SPATTER = {
    224: (
        (0.65, 0.3, 4, 0.69, 0.6, 0),
        (0.65, 0.3, 3, 0.68, 0.6, 0),
        (0.65, 0.3, 2, 0.68, 0.5, 0),
        (0.65, 0.3, 1, 0.65, 1.5, 1),
        (0.67, 0.4, 1, 0.65, 1.5, 1),
    ),
    64: (
        (0.62, 0.1, 0.7, 0.7, 0.6, 0),
        (0.65, 0.1, 0.8, 0.7, 0.6, 0),
        (0.65, 0.3, 1, 0.69, 0.6, 0),
        (0.65, 0.1, 0.7, 0.68, 0.6, 1),
        (0.65, 0.1, 0.5, 0.67, 0.6, 1),
    ),
    32: (
        (0.62, 0.1, 0.7, 0.7, 0.5, 0),
        (0.65, 0.1, 0.8, 0.7, 0.5, 0),
        (0.65, 0.3, 1, 0.69, 0.5, 0),
        (0.65, 0.1, 0.7, 0.69, 0.6, 1),
        (0.65, 0.1, 0.5, 0.68, 0.6, 1),
    ),
}
_WATER = (175, 238, 238)
_MUD = (63, 42, 20)
# What makes a height map look lit from the lower right.
_RELIEF = np.array([[[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]], np.float32)


@dataclass(frozen=True)
class Spatter(Corruption):
    """Blurred noise above a threshold: water adds its colour, brighter at the rims of drops; mud covers the image."""

    group: ClassVar[str] = "extra"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add spatter: (N, H, W, C) -> (N, H, W, C)."""
        side, channels = images.shape[1], images.shape[3]
        mean, std, sigma, least, strength, mud = table(side, severity, _SPATTER)
        noise = np.stack([generator.standard_normal((side, side), np.float32) for generator in generators])
        liquid = _blurred(np.float32(mean) + np.float32(std) * noise, sigma)
        if mud > 0.5:
            cover = _blurred((liquid > least).astype(np.float32), strength)
            cover = np.where(cover < 0.8, 0, cover)[..., None]
            return np.clip(images * (1 - cover) + cover * colour_values(_MUD, channels), 0, 1)
        drops = np.where(liquid < least, 0, np.minimum(liquid, 1))
        light = np.float32(strength) * glitter(np.floor(drops * 255))[..., None]
        return np.clip(images + np.clip(light * colour_values(_WATER, channels), 0, 1), 0, 1)


def glitter(drops: np.ndarray) -> np.ndarray:
    """Return the brightness of water: (N, H, W), integers in [0, 255] -> (N, H, W) in [0, 1].

    The distance from the drops' edges, up to 20 pixels, is histogram-equalised and shaded from one side.
    """
    distance = _edges.distance(_edges.edges(drops, 50, 150), 20)
    heights = _spread(np.floor(_mean(distance) + 2**-10).astype(np.intp))
    relief = np.clip(ndimage.correlate(heights, _RELIEF, mode="mirror"), 0, 255)
    light = drops * np.rint(_mean(relief))
    brightest = light.max(axis=(1, 2), keepdims=True)
    # Where there is no drop there is no light.
    return np.divide(light, brightest, out=np.zeros_like(light), where=brightest > 0)


def _spread(values: np.ndarray) -> np.ndarray:
    """Equalise the histogram of each image: (N, H, W) in [0, 255] -> (N, H, W) float32."""
    spread = np.empty(values.shape, np.float32)
    for picture, place in zip(values, spread, strict=True):
        counts = np.bincount(picture.ravel(), minlength=256)
        darkest = np.flatnonzero(counts)[0]
        others = picture.size - counts[darkest]
        levels = np.rint((counts.cumsum() - counts[darkest]) * (255 / others)) if others else np.arange(256)
        place[:] = levels[picture]
    return spread


def _blurred(pictures: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(pictures, (0, sigma, sigma), mode="nearest")


def _mean(pictures: np.ndarray) -> np.ndarray:
    return ndimage.uniform_filter(pictures, 3, mode="mirror", axes=(1, 2))


COMPONENT = Spatter
