"""JPEG compression: the artefacts of a low quality.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

_QUALITY = {
    224: (25, 18, 15, 10, 7),
    64: (65, 58, 50, 40, 25),
    32: (80, 65, 58, 50, 40),
}


@dataclass(frozen=True)
class JPEGCompression(Corruption):
    """Encode as JPEG and decode; images of one channel are encoded as grey."""

    group: ClassVar[str] = "digital"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Compress: (N, H, W, C) -> (N, H, W, C)."""
        (quality,) = table(images.shape[1], severity, _QUALITY)
        pixels = (images * np.float32(255) + np.float32(0.5)).astype(np.uint8)
        read = np.empty_like(pixels)
        for image, place in zip(pixels, read, strict=True):
            file = io.BytesIO()
            Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file, "JPEG", quality=round(quality))
            place[:] = np.asarray(Image.open(file, formats=("JPEG",))).reshape(image.shape)
        return read / np.float32(255)


COMPONENT = JPEGCompression
