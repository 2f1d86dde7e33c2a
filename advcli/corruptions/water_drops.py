"""Water drops: see the scene through drops on the lens, each of which refracts it upside down.

The drops are spherical caps, and light is refracted by Snell's law, as by von Bernuth, Volk and Bringmann, Rendering
physically correct raindrops on windshields, IEEE Intelligent Vehicles Symposium 2018, pages 922 to 927.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._ranges import require_within

# The refractive index of water; the sine of the angle at which a drop meets the glass, 40 degrees; and the focal
# length in parts of the side of the image, for a field of view of 60 degrees.
_INDEX = 1.33
_CONTACT = math.sin(math.radians(40))
_FOCAL = 0.5 / math.tan(math.radians(30))
# The smallest and the largest radius of a drop, in parts of the mean.
_SMALLEST, _LARGEST = 0.5, 1.5


@dataclass(frozen=True)
class WaterDrops(PhysicalCorruption):
    """A pixel in a drop is read where its refracted ray comes from; outside of the image the scene is mirrored.

    Drops are added at random places until they cover the share. A larger share has the same drops and more.

    Args:
        share: share of the pixels that the drops cover; the last drop may cover more.
        radius: mean radius of a drop, in parts of the side of the image; they differ by half of it.
    """

    share: float | None = None
    radius: float = 0.1

    group: ClassVar[str] = "scene"
    parameter: ClassVar[str] = "share"
    unit: ClassVar[str] = "share of the image"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {224: (0.05, 0.1, 0.15, 0.22, 0.3)}

    def __post_init__(self) -> None:
        require_within("share", self.share, 0, 0.95)
        require_within("radius", self.radius, 0.01, 0.5)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add drops: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        share = self.strength(side, severity)
        changed = images.copy()
        for image, generator in zip(changed, generators, strict=True):
            # The number of drops must not change the random numbers of a corruption that follows.
            own = np.random.default_rng(generator.integers(2**63))
            owner, drops = _placed(side, share, self.radius * side, own)
            rows, columns = np.nonzero(owner)
            image[rows, columns] = _read(image, *_refracted(rows, columns, drops[owner[rows, columns] - 1], side))
        return changed


def _placed(side: int, share: float, radius: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Place drops until they cover a share of the pixels.

    Returns:
        The number of the drop that each pixel is in: (side, side) int32, from 1, 0 for none; the row, the column and
        the radius of each drop: (K, 3) float32.
    """
    owner = np.zeros((side, side), np.int32)
    drops: list[tuple[float, float, float]] = []
    while np.count_nonzero(owner) < share * side * side:
        row, column, size = generator.random(3).tolist()
        row, column = row * side - 0.5, column * side - 0.5
        # A drop smaller than a pixel would hit the centre of few.
        size = max(radius * (_SMALLEST + (_LARGEST - _SMALLEST) * size), 0.5)
        top, left = max(int(row - size), 0), max(int(column - size), 0)
        box = owner[top : int(row + size) + 2, left : int(column + size) + 2]
        down = np.arange(top, top + box.shape[0]) - row
        right = np.arange(left, left + box.shape[1]) - column
        box[(down * down)[:, None] + right * right <= size * size] = len(drops) + 1
        drops.append((row, column, size))
    return owner, np.array(drops, np.float32).reshape(-1, 3)


def _refracted(rows: np.ndarray, columns: np.ndarray, drops: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the column where the ray of each pixel meets the image: (K,), (K,), (K, 3) -> (K,), (K,)."""
    rows, columns = rows.astype(np.float32), columns.astype(np.float32)
    down, right = rows - drops[:, 0], columns - drops[:, 1]
    curvature = _CONTACT / drops[:, 2]
    # Squared sines of the angles of the ray to the normal of the drop, in water and in air.
    water = (down * down + right * right) * (curvature * curvature)
    air = np.float32(_INDEX**2) * water
    cosine_water, cosine_air = np.sqrt(1 - water), np.sqrt(1 - air)
    # The tangent of the difference of the two angles, over the distance from the axis, towards which the ray turns.
    turn = (_INDEX * cosine_water - cosine_air) / (cosine_water * cosine_air + _INDEX * water)
    turn *= _FOCAL * side * curvature
    return rows - turn * down, columns - turn * right


def _read(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Read a mirrored image bilinearly between its pixels: (S, S, C), (K,), (K,) -> (K, C)."""
    last = len(image) - 1
    # A ray moves by less than the side of the image.
    rows, columns = (last - np.abs(last - np.abs(places)) for places in (rows, columns))
    top, left = np.minimum(rows.astype(np.intp), last - 1), np.minimum(columns.astype(np.intp), last - 1)
    lower, later = (rows - top.astype(np.float32))[:, None], (columns - left.astype(np.float32))[:, None]
    pixels = image.reshape(-1, image.shape[2])
    corner = top * len(image) + left
    above = pixels.take(corner, axis=0) * (1 - later) + pixels.take(corner + 1, axis=0) * later
    corner += len(image)
    below = pixels.take(corner, axis=0) * (1 - later) + pixels.take(corner + 1, axis=0) * later
    return above * (1 - lower) + below * lower


COMPONENT = WaterDrops
