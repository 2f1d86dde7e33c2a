"""Repeated lossy compression of images, resized before each pass."""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image


def recompressed(
    images: np.ndarray, file_format: str, passes: int, scale: float, settings: Mapping[str, int]
) -> np.ndarray:
    """Resize, restore the size, encode and decode, several times: (N, S, S, C) -> (N, S, S, C), in 8 bits.

    Args:
        images: float32 in [0, 1].
        file_format: ``JPEG`` or ``WEBP``.
        passes: how often.
        scale: the smaller size in parts of the side; 1 for no resizing. Both filters are bicubic.
        settings: the encoder's.
    """
    side, mode = images.shape[1], "L" if images.shape[3] == 1 else "RGB"
    small = max(round(scale * side), 1)
    pixels = np.rint(images * np.float32(255)).astype(np.uint8)
    for image in pixels:
        picture = Image.fromarray(image[..., 0] if mode == "L" else image)
        for _ in range(passes):
            if small != side:
                picture = picture.resize((small, small), Image.Resampling.BICUBIC)
                picture = picture.resize((side, side), Image.Resampling.BICUBIC)
            file = io.BytesIO()
            picture.save(file, file_format, **settings)
            # WebP has no grey images.
            picture = Image.open(file, formats=(file_format,))
            if picture.mode != mode:
                picture = picture.convert(mode)
        image[:] = np.asarray(picture).reshape(image.shape)
    return pixels / np.float32(255)
