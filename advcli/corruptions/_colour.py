"""Brightness of colours, and colours for grey images."""

import numpy as np

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


def luma(images: np.ndarray) -> np.ndarray:
    """Return the luma of pixels: (..., H, W, C) -> (..., H, W, 1)."""
    if images.shape[-1] == 1:
        return images
    return (images[..., :1] * _LUMA[0] + images[..., 1:2] * _LUMA[1]) + images[..., 2:] * _LUMA[2]


def colour_values(colour: tuple[int, int, int], channels: int) -> np.ndarray:
    """Return an 8-bit RGB colour for images with a number of channels: -> (channels,) float32 in [0, 1]."""
    values = np.array(colour, np.float32) / 255
    return luma(values[None, None])[0, 0] if channels == 1 else values


def relative_luminance(light: np.ndarray) -> np.ndarray:
    """Return the luminance of linear light, by Rec. 709: (..., C) -> (..., 1)."""
    return light if light.shape[-1] == 1 else light @ _LUMINANCE[:, None]
