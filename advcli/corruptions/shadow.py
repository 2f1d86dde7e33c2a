"""Shadow: take light away on one side of a soft edge, as in the shadow of a wall."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._linear_light import to_linear, to_srgb
from advcli.corruptions._ranges import require_within


@dataclass(frozen=True)
class Shadow(PhysicalCorruption):
    """``x * (1 - depth * m)`` in linear light; m rises from 0 to 1 across the edge of a random half-plane.

    The edge passes at a random angle through a random point of the middle half of the image. Across the penumbra m
    is linear, as it is for a uniform source.

    Args:
        depth: share of the light that is missing in the shadow.
        penumbra: width of the edge, in parts of the side of the image.
    """

    depth: float | None = None
    penumbra: float = 0.05

    group: ClassVar[str] = "scene"
    parameter: ClassVar[str] = "depth"
    unit: ClassVar[str] = "share of the light"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {224: (0.4, 0.6, 0.75, 0.85, 0.9)}

    def __post_init__(self) -> None:
        require_within("depth", self.depth, 0, 1)
        require_within("penumbra", self.penumbra, 0)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add a shadow: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        shaded = np.stack([_half_plane(side, self.penumbra * side, generator) for generator in generators])
        light = to_linear(images)
        light *= (1 - np.float32(self.strength(side, severity)) * shaded)[..., None]
        return np.clip(to_srgb(light), 0, 1)


def _half_plane(side: int, width: float, generator: np.random.Generator) -> np.ndarray:
    """Return how much of each pixel is in the shadow: -> (side, side) float32 in [0, 1]."""
    row, column = generator.uniform(0.25, 0.75, 2) * side
    angle = generator.uniform(0, 2 * np.pi)
    places = np.arange(side) + 0.5
    across = (np.sin(angle) * (places - row))[:, None] + np.cos(angle) * (places - column)
    # A narrower edge would be jagged: a pixel is about half in the shadow where the edge passes through it.
    return np.clip(across / max(width, 1) + 0.5, 0, 1).astype(np.float32)


COMPONENT = Shadow
