"""Turbulence: long exposure through an atmosphere with Kolmogorov's spectrum.

Fried 1966, https://doi.org/10.1364/JOSA.56.001372
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._ranges import require_within
from advcli.corruptions._transfer import apply_transfer, radial_frequency


@dataclass(frozen=True)
class Turbulence(PhysicalCorruption):
    """Convolution in linear light with ``H(f) = exp(-3.44 (seeing f)^(5/3))``, f in cycles per pixel.

    ``seeing = wavelength / (r0 * angle of a pixel)``, r0 being Fried's parameter. At 550 nm, with r0 = 5 cm and pixels
    of 5 microradians it is 2.2 pixels. A point spreads to 0.98 times the seeing, at half its maximum.

    Args:
        seeing: wavelength over Fried's parameter, as an angle in pixels.
    """

    group: ClassVar[str] = "optics"
    parameter: ClassVar[str] = "seeing"
    unit: ClassVar[str] = "pixels"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {
        224: (1.6, 2.5, 3.8, 5.5, 7.5),
        64: (1, 1.5, 2.1, 2.8, 3.7),
        32: (0.7, 0.95, 1.25, 1.6, 2.1),
    }

    seeing: float | None = None

    def __post_init__(self) -> None:
        require_within("seeing", self.seeing, 0, 1000)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Blur: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        return apply_transfer(images, _kolmogorov_transfer(side, self.strength(side, severity)))


@lru_cache(maxsize=32)
def _kolmogorov_transfer(side: int, seeing: float) -> np.ndarray:
    return np.exp(-3.44 * (seeing * radial_frequency(side)) ** (5 / 3))


COMPONENT = Turbulence
