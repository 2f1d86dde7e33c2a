"""Diffraction: light from a point spreads over the Airy pattern of a circular aperture.

Airy 1835; the transfer function: Goodman, Introduction to Fourier Optics
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._ranges import require_within
from advcli.corruptions._transfer import apply_transfer, radial_frequency

# The first zero of J1, divided by pi: the radius of the first dark ring times the cutoff frequency.
_FIRST_ZERO = 1.2196698912665045


@dataclass(frozen=True)
class Diffraction(PhysicalCorruption):
    """Convolution with an Airy pattern: ``H = 2/pi * (acos(v) - v * sqrt(1 - v^2))``, v being f over the cutoff.

    In linear light. The radius is 1.22 times wavelength times f-number, over the pixel pitch. Above the cutoff
    frequency, 1.22 / radius cycles per pixel, nothing remains.

    Args:
        radius: of the first dark ring, in pixels.
    """

    group: ClassVar[str] = "optics"
    parameter: ClassVar[str] = "radius"
    unit: ClassVar[str] = "pixels"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {
        224: (2.5, 3.5, 5, 7, 9.5),
        64: (1.2, 1.8, 2.5, 3.4, 4.5),
        32: (0.8, 1.1, 1.5, 2, 2.6),
    }

    radius: float | None = None

    def __post_init__(self) -> None:
        require_within("radius", self.radius, 0, 1000)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Blur: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        return apply_transfer(images, _airy_transfer(side, self.strength(side, severity)))


@lru_cache(maxsize=32)
def _airy_transfer(side: int, radius: float) -> np.ndarray:
    share = np.minimum(radial_frequency(side) * radius / _FIRST_ZERO, 1)
    return 2 / np.pi * (np.arccos(share) - share * np.sqrt(1 - share**2))


COMPONENT = Diffraction
