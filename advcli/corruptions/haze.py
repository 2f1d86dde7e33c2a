"""Haze: scatter the light of the scene, more of it the farther away it is.

Koschmieder 1924, Theorie der horizontalen Sichtweite; Narasimhan and Nayar 2002,
https://doi.org/10.1023/A:1016328200723
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._linear_light import to_linear, to_srgb
from advcli.corruptions._ranges import require_within


@dataclass(frozen=True)
class Haze(PhysicalCorruption):
    """``x * exp(-beta * d) + A * (1 - exp(-beta * d))`` in linear light, with the airlight A and the depth d.

    The scene is a plane seen from above the ground: the depth rises linearly from 0 at the bottom edge of the image to
    1 at its top edge.

    Args:
        beta: extinction coefficient: the optical depth at the top edge.
        airlight: brightness of the haze at an infinite depth, in linear light; it is grey.
    """

    beta: float | None = None
    airlight: float = 0.8

    group: ClassVar[str] = "scene"
    parameter: ClassVar[str] = "beta"
    unit: ClassVar[str] = "optical depth"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {224: (0.1, 0.25, 0.5, 0.8, 1.1)}

    def __post_init__(self) -> None:
        require_within("beta", self.beta, 0)
        require_within("airlight", self.airlight, 0, 1)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add haze: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        passed = transmission(side, self.strength(side, severity))[:, None, None]
        light = to_linear(images)
        light *= passed
        light += np.float32(self.airlight) * (1 - passed)
        return np.clip(to_srgb(light), 0, 1)


def transmission(side: int, beta: float) -> np.ndarray:
    """Return how much of the scene's light is left in each row, at the centres of its pixels: -> (side,) float32."""
    depth = 1 - (np.arange(side) + 0.5) / side
    return np.exp(-beta * depth).astype(np.float32)


COMPONENT = Haze
