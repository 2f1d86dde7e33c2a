"""Glare: add the light of a lamp that the lens scatters over the image.

It falls with the square of the distance, as veiling glare does: Spencer, Shirley, Zimmerman and Greenberg 1995,
https://doi.org/10.1145/218380.218466
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._linear_light import to_linear, to_srgb
from advcli.corruptions._ranges import require_within


@dataclass(frozen=True)
class Glare(PhysicalCorruption):
    """``x + peak / (1 + r^2 / radius^2)`` in linear light, cut at white; r is the distance from a random pixel.

    Args:
        peak: light added at the centre, in parts of the light of white; it may be above 1.
        radius: distance at which half of it is added, in parts of the side of the image.
    """

    peak: float | None = None
    radius: float = 0.15

    group: ClassVar[str] = "scene"
    parameter: ClassVar[str] = "peak"
    unit: ClassVar[str] = "parts of white"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {224: (0.1, 0.2, 0.4, 0.8, 1.5)}

    def __post_init__(self) -> None:
        require_within("peak", self.peak, 0)
        require_within("radius", self.radius, 0.001)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add glare: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        centres = np.stack([generator.integers(side, size=2) for generator in generators])
        away = (np.arange(side) - centres[..., None]) / (self.radius * side)
        away = (away * away).astype(np.float32)
        added = np.float32(self.strength(side, severity)) / (1 + away[:, 0, :, None] + away[:, 1, None, :])
        light = to_linear(images)
        light += added[..., None]
        return np.minimum(to_srgb(light), 1)


COMPONENT = Glare
