"""Pixelate: fewer pixels, enlarged again.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from advcli.corruptions._parameters import table

_KEPT = {
    224: (0.6, 0.5, 0.4, 0.3, 0.25),
    64: (0.9, 0.8, 0.7, 0.6, 0.5),
    32: (0.95, 0.9, 0.85, 0.75, 0.65),
}


@dataclass(frozen=True)
class Pixelate:
    """The mean over boxes, down and up again, in 8 bits."""

    group: ClassVar[str] = "digital"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Coarsen: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        (kept,) = table(side, severity, _KEPT)
        small = (int(side * kept),) * 2
        bands = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
        coarse = np.empty_like(bands)
        for image, place in zip(bands, coarse, strict=True):
            picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
            enlarged = picture.resize(small, Image.Resampling.BOX).resize((side, side), Image.Resampling.BOX)
            place[:] = np.asarray(enlarged).reshape(image.shape)
        return coarse.astype(np.float32) / 255


COMPONENT = Pixelate
