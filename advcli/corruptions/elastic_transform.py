"""Elastic transform: a random affine transformation and a smooth random displacement field.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261; displacement fields: Simard, Steinkraus and Platt 2003
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption, _separable
from advcli.corruptions._parameters import table

# As parts of the side: the strength of the displacements, the standard deviation of their smoothing, and how far
# corners move. The published parts for 224 pixels are those of 244.
_ELASTIC = {
    224: tuple(
        tuple(244 / 224 * part for part in parts)
        for parts in ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02))
    ),
    64: ((0, 0, 0.08), (0.05, 0.3, 0.06), (0.1, 0.08, 0.06), (0.1, 0.03, 0.03), (0.16, 0.03, 0.02)),
    32: ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
}


@dataclass(frozen=True)
class ElasticTransform(Corruption):
    """Random displacement of three points around the centre (affine), then smooth random displacements."""

    group: ClassVar[str] = "digital"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Deform images: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        strength, sigma, reach = (side * part for part in table(side, severity, _ELASTIC))
        deformed = np.empty_like(images)
        for image, place, generator in zip(images, deformed, generators, strict=True):
            source = sheared(side, reach, generator)
            place[:] = sampled(image, *source, repeat=False)
            if strength > 0:
                noise = generator.uniform(-1, 1, (2, side, side)).astype(np.float32)
                fields = strength * _separable.apply(_separable.gaussian(side, sigma, 3.0), noise)
                rows, columns = np.arange(side, dtype=np.float32)[:, None] + fields[1], np.arange(side) + fields[0]
                place[:] = sampled(place, rows, columns, repeat=True)
        return np.clip(deformed, 0, 1)


def sheared(side: int, reach: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Displace three corners of a square at random, and return each pixel's source coordinates: rows and columns."""
    middle, half = side // 2, side // 3
    corners = np.array([[half, half], [half, -half], [-half, -half]]) + middle
    moved = corners + generator.uniform(-reach, reach, corners.shape)
    # From (column, row, 1) of a pixel to those it is read from.
    backward = np.linalg.solve(np.column_stack([moved, np.ones(3)]), corners)
    rows, columns = np.arange(side)[:, None], np.arange(side)[None]
    across, down = (backward[0, i] * columns + backward[1, i] * rows + backward[2, i] for i in (0, 1))
    return down, across


def sampled(image: np.ndarray, rows: np.ndarray, columns: np.ndarray, repeat: bool) -> np.ndarray:
    """Sample an image with bilinear interpolation: (S, S, C), (S, S), (S, S) -> (S, S, C).

    The padding is reflection, without or, with ``repeat``, with repeated border pixels.
    """
    side = len(image)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, across = (rows - top).astype(np.float32)[..., None], (columns - left).astype(np.float32)[..., None]
    above, below = (_folded(top + i, side, repeat) * side for i in (0, 1))
    before, after = (_folded(left + i, side, repeat) for i in (0, 1))
    pixels = image.reshape(side * side, -1)
    upper = pixels[above + before] * (1 - across) + pixels[above + after] * across
    lower = pixels[below + before] * (1 - across) + pixels[below + after] * across
    return upper * (1 - down) + lower * down


def _folded(places: np.ndarray, side: int, repeat: bool) -> np.ndarray:
    if repeat:
        places = places % (2 * side)
        return np.minimum(places, 2 * side - 1 - places)
    return side - 1 - np.abs(places % (2 * side - 2) - (side - 1))


COMPONENT = ElasticTransform
