"""Linear light: what sensors count and lenses blur; pixel values are encoded by the curve of sRGB.

IEC 61966-2-1, https://www.w3.org/Graphics/Color/sRGB
"""

import numpy as np

# Rec. 709: the luminance of the primaries of sRGB.
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


def linear_light(values: np.ndarray) -> np.ndarray:
    """Return the light of pixel values, 1 being that of white: float32 in [0, 1] -> the same shape."""
    steep = (values + np.float32(0.055)) / np.float32(1.055)
    steep **= np.float32(2.4)
    np.divide(values, np.float32(12.92), out=steep, where=values <= np.float32(0.04045))
    return steep


def pixel_values(light: np.ndarray) -> np.ndarray:
    """Return the pixel values of light, which saturates at 0 and 1: any shape -> the same shape, float32."""
    light = np.clip(light, 0, 1, dtype=np.float32)
    steep = light ** np.float32(1 / 2.4)
    steep *= np.float32(1.055)
    steep -= np.float32(0.055)
    np.multiply(light, np.float32(12.92), out=steep, where=light <= np.float32(0.0031308))
    return steep


def luminance(light: np.ndarray) -> np.ndarray:
    """Return the luminance of linear light: (..., C) -> (..., 1)."""
    return light if light.shape[-1] == 1 else light @ _LUMINANCE[:, None]
