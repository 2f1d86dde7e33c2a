"""JPEG chain: resize and compress again and again, as platforms do when an image is passed on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._ranges import require_within
from advcli.corruptions._recompression import recompressed


@dataclass(frozen=True)
class JPEGChain(PhysicalCorruption):
    """Each pass makes the image smaller, restores its size, encodes it as JPEG and decodes it.

    Args:
        quality: the encoder's, rounded to a whole number.
        passes: how often the image is compressed.
        scale: the smaller size in parts of the side of the image; 1 for no resizing.
    """

    quality: float | None = None
    passes: int = 2
    scale: float = 0.8

    group: ClassVar[str] = "codec"
    parameter: ClassVar[str] = "quality"
    unit: ClassVar[str] = "JPEG quality"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {
        224: (50, 30, 18, 12, 7),
        64: (85, 65, 45, 30, 15),
        32: (90, 75, 60, 45, 25),
    }
    increasing: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_within("quality", self.quality, 1, 100)
        require_within("passes", self.passes, 1, 100)
        require_within("scale", self.scale, 0.1, 1)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Compress: (N, H, W, C) -> (N, H, W, C)."""
        quality = round(self.strength(images.shape[1], severity))
        return recompressed(images, "JPEG", self.passes, self.scale, {"quality": quality})


COMPONENT = JPEGChain
