"""Occluder: hide a rectangle of the image behind an object of one colour or of noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._ranges import require_within
from advcli.errors import UsageError, nearest

_FILLS = ("black", "grey", "noise", "mean")
_GREY = 128 / 255


@dataclass(frozen=True)
class Occluder(PhysicalCorruption):
    """A rectangle at a random place and angle, up to twice as long as wide; beyond the border it grows inwards.

    Exactly ``round(share * pixels)`` of the square's pixels are hidden, those nearest to its centre in the norm of
    which the rectangle is a ball. A larger share hides the same pixels and more.

    Args:
        share: share of the pixels that are hidden.
        fill: black, grey, noise (uniform, each pixel and channel), or mean (the image's mean colour).
    """

    share: float | None = None
    fill: str = "grey"

    group: ClassVar[str] = "scene"
    parameter: ClassVar[str] = "share"
    unit: ClassVar[str] = "share of the image"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {224: (0.05, 0.1, 0.2, 0.3, 0.4)}

    def __post_init__(self) -> None:
        require_within("share", self.share, 0, 1)
        if self.fill not in _FILLS:
            raise UsageError(f"occluder has no fill '{self.fill}'", nearest(self.fill, _FILLS))

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Hide a part: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        count = round(self.strength(side, severity) * side * side)
        changed = images.copy()
        for image, generator in zip(changed, generators, strict=True):
            pixels = image.reshape(side * side, -1)
            hidden = _hidden(side, count, generator)
            pixels[hidden] = self._filling(pixels, generator)[hidden]
        return changed

    def _filling(self, pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return what hides the pixels of one image: (S * S, C) -> (S * S, C)."""
        if self.fill == "noise":
            # For all pixels, so that what is behind a larger occluder gets the same noise.
            return generator.random(pixels.shape, np.float32)
        colour = pixels.mean(axis=0) if self.fill == "mean" else {"black": 0.0, "grey": _GREY}[self.fill]
        return np.broadcast_to(np.asarray(colour, np.float32), pixels.shape)


def _hidden(side: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return which pixels are hidden: -> (count,) indices."""
    row, column = generator.random(2) * side
    angle, stretch = generator.uniform(0, np.pi), np.sqrt(generator.uniform(0.5, 2))
    down, right = (np.arange(side) + 0.5 - row)[:, None], np.arange(side) + 0.5 - column
    along = np.abs(np.cos(angle) * right + np.sin(angle) * down) * stretch
    across = np.abs(np.cos(angle) * down - np.sin(angle) * right) / stretch
    return np.argsort(np.maximum(along, across), axis=None, kind="stable")[:count]


COMPONENT = Occluder
