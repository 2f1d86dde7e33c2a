"""Distortion: the magnification of a lens depends on the distance from its axis.

Brown 1971, Close-Range Camera Calibration, Photogrammetric Engineering 37(8)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._linear_light import to_linear, to_srgb
from advcli.corruptions._ranges import require_within


@dataclass(frozen=True)
class RadialDistortion(PhysicalCorruption):
    """What is seen at distance r from the middle is at ``r (1 + k1 r^2) / z``, r in halves of the diagonal.

    This is Brown's model. Positive k1 is a barrel, as of wide-angle lenses, negative a pincushion. The picture is
    enlarged by z, the least that leaves no pixel outside of it. It is read bilinearly in linear light.

    Args:
        k1: Brown's first coefficient, from -0.3 to 2.
    """

    group: ClassVar[str] = "optics"
    parameter: ClassVar[str] = "k1"
    unit: ClassVar[str] = "per squared half-diagonal"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {224: (0.05, 0.1, 0.2, 0.35, 0.6)}

    k1: float | None = None

    def __post_init__(self) -> None:
        # At -1/3 the corners would be folded back into the picture.
        require_within("k1", self.k1, -0.3, 2)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Distort: (N, H, W, C) -> (N, H, W, C)."""
        count, side, _, channels = images.shape
        corners, lower, later = _sources(side, self.strength(side, severity))
        light = to_linear(images).transpose(0, 3, 1, 2).reshape(count * channels, side * side)
        above, below = (
            _between(light.take(corners + step, axis=1), light.take(corners + step + 1, axis=1), later)
            for step in (0, side)
        )
        read = _between(above, below, lower).reshape(count, channels, side, side)
        return to_srgb(read.transpose(0, 2, 3, 1))


@lru_cache(maxsize=8)
def _sources(side: int, k1: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the upper left of the four pixels that each is read between, and its shares of the lower and right ones.

    Each is (side * side,).
    """
    middle = (side - 1) / 2
    places = np.arange(side) - middle
    # The squared distance: 1 at the corners and 1/2 in the middle of each border.
    squared = (places[:, None] ** 2 + places**2) / (2 * middle**2)
    scale = (1 + k1 * squared) / max(1 + k1, 1 + k1 / 2)
    rows, columns = (middle + scale * axis for axis in (places[:, None], places))
    top, left = (np.clip(np.floor(each), 0, side - 2).astype(np.intp) for each in (rows, columns))
    shares = [np.clip(each, 0, 1).astype(np.float32).ravel() for each in (rows - top, columns - left)]
    return (top * side + left).ravel(), shares[0], shares[1]


def _between(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    return first + share * (second - first)


COMPONENT = RadialDistortion
