"""Jitter: the line of sight trembles during the exposure, fast and in all directions.

Kopeika, A System Engineering Approach to Imaging, 1998
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
class LineOfSightJitter(PhysicalCorruption):
    """Convolution with a Gaussian in linear light: ``H(f) = exp(-2 pi^2 std^2 f^2)``.

    Args:
        std: standard deviation of the line of sight along each axis, in pixels.
    """

    group: ClassVar[str] = "optics"
    parameter: ClassVar[str] = "std"
    unit: ClassVar[str] = "pixels"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {
        224: (0.8, 1.3, 1.9, 2.6, 3.5),
        64: (0.5, 0.7, 1, 1.3, 1.7),
        32: (0.35, 0.45, 0.6, 0.75, 0.95),
    }

    std: float | None = None

    def __post_init__(self) -> None:
        require_within("std", self.std, 0, 1000)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Blur: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        return apply_transfer(images, _gaussian_transfer(side, self.strength(side, severity)))


@lru_cache(maxsize=32)
def _gaussian_transfer(side: int, std: float) -> np.ndarray:
    return np.exp(-2 * (np.pi * std * radial_frequency(side)) ** 2)


COMPONENT = LineOfSightJitter
