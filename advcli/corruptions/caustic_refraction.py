"""Caustic refraction: refract the image and light it, as moving water does.

Mintun, Kirillov and Xie 2021, https://arxiv.org/abs/2102.11273
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption, _separable
from advcli.corruptions._parameters import table

# The authors' levels, from 0 to 10. ImageNet-C-bar has five of ten candidates for 224 pixels; for 32 pixels only the
# candidates are published, and those of the same ranks are taken.
_LEVEL = {224: (2.35, 3.2, 4.9, 6.6, 9.15), 32: (1.4, 1.8, 2.6, 3.4, 4.6)}
# The ratio of the refractive indices, and the standard deviation of the smoothing of the caustics, in pixels.
_INDEX = 4.0
_SIGMA = 1.0


@dataclass(frozen=True)
class CausticRefraction(Corruption):
    """Each pixel is read where a ray refracted by caustics comes from, plus ``level / 5`` of their slope.

    Refracted rays move by up to ``level / 20`` of the side; outside the image it is black.
    """

    group: ClassVar[str] = "bar"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Refract and light: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        (level,) = table(side, severity, _LEVEL)
        caustics = np.stack([_caustics(side, generator) for generator in generators])
        smooth = np.pad(_separable.apply(_separable.gaussian(side, _SIGMA, 4.0), caustics), ((0, 0), (1, 1), (1, 1)))
        down, right = smooth[:, 2:, 1:-1] - smooth[:, :-2, 1:-1], smooth[:, 1:-1, 2:] - smooth[:, 1:-1, :-2]
        reach = np.float32(level / 20 * side) * _bend(down * down + right * right)
        lit = np.stack([_read(*each) for each in zip(images, reach * down, reach * right, strict=True)])
        lit += (np.float32(level / 5) * (down - right))[..., None]
        return np.clip(lit, 0, 1, out=lit)


def _caustics(side: int, generator: np.random.Generator) -> np.ndarray:
    """Return lines of light as on the ground of a pool: -> (side, side) float32 in [0, 1]."""
    time = generator.uniform(0.5, 2)
    size = generator.uniform(0.75, 1.25) * side
    places = (np.arange(side) / size % 1 * (2 * np.pi) - 250).astype(np.float32)
    first, second = places[:, None], places
    x, y = first, second
    light = np.ones((side, side), np.float32)
    for turn in range(1, 6):
        t = np.float32(time * (1 - 3.5 / turn))
        x, y = first + (np.cos(t - x) + np.sin(t + y)), second + (np.sin(t - y) + np.cos(t + x))
        across, along = first / np.sin(x + t), second / np.cos(y + t)
        light += 1 / (np.float32(0.005) * np.sqrt(across * across + along * along))
    dark = np.float32(1.17) - (light / 5) ** np.float32(1.4)
    dark *= dark
    dark *= dark
    return np.minimum(dark * dark, 1)


def _bend(slope: np.ndarray) -> np.ndarray:
    """Return by how much a vertical ray is moved by a surface with a squared slope, in parts of that slope.

    By Snell's law. Below an angle of 2.6 degrees, as in the authors' code, it is not refracted at all.
    """
    cosine = 1 / np.sqrt(1 + slope)
    refracted = np.sqrt(1 - slope / (1 + slope) / np.float32(_INDEX**2))
    return np.where(cosine >= np.float32(0.999), 0, cosine * (refracted - cosine / np.float32(_INDEX)))


def _read(image: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Read an image bilinearly beside each pixel, black outside: (S, S, C), (S, S), (S, S) -> (S, S, C)."""
    side = len(image)
    # With the channels first, NumPy is three times as fast.
    dark = np.pad(image.transpose(2, 0, 1), ((0, 0), (1, 2), (1, 2))).reshape(image.shape[2], -1)
    places = np.arange(1, side + 1, dtype=np.float32)
    rows, columns = np.clip(places[:, None] + down, 0, side + 1), np.clip(places + right, 0, side + 1)
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    lower, later = rows - top.astype(np.float32), columns - left.astype(np.float32)
    corner = top * (side + 3) + left
    above = _between(dark.take(corner, axis=1), dark.take(corner + 1, axis=1), later)
    corner += side + 3
    below = _between(dark.take(corner, axis=1), dark.take(corner + 1, axis=1), later)
    return _between(above, below, lower).transpose(1, 2, 0)


def _between(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    return first + share * (second - first)


COMPONENT = CausticRefraction
