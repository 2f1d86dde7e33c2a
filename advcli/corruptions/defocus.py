"""Defocus: light from a point spreads over a disk, the circle of confusion.

The geometrical transfer function, Goodman, Introduction to Fourier Optics; Hopkins 1955,
https://doi.org/10.1098/rspa.1955.0158
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy import special

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._ranges import require_within
from advcli.corruptions._transfer import apply_transfer, radial_frequency


@dataclass(frozen=True)
class Defocus(PhysicalCorruption):
    """Convolution with a uniform disk in linear light: ``H(f) = 2 J1(2 pi radius f) / (2 pi radius f)``.

    Args:
        radius: of the circle of confusion, in pixels.
    """

    group: ClassVar[str] = "optics"
    parameter: ClassVar[str] = "radius"
    unit: ClassVar[str] = "pixels"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {
        224: (1.5, 2.5, 3.5, 5, 6.5),
        64: (0.8, 1.2, 1.7, 2.3, 3),
        32: (0.5, 0.7, 0.9, 1.2, 1.6),
    }

    radius: float | None = None

    def __post_init__(self) -> None:
        require_within("radius", self.radius, 0, 1000)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Blur: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        return apply_transfer(images, _disk_transfer(side, self.strength(side, severity)))


@lru_cache(maxsize=32)
def _disk_transfer(side: int, radius: float) -> np.ndarray:
    turns = 2 * np.pi * radius * radial_frequency(side)
    # Its limit at 0 is 1.
    return np.where(turns > 0, 2 * special.j1(turns) / np.where(turns > 0, turns, 1), 1)


COMPONENT = Defocus
