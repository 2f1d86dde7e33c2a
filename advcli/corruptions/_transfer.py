"""Convolution in linear light by an optical transfer function, in cycles per pixel.

The light between pixels is taken to be band-limited, and the image to be reflected at its borders, with the border
pixels repeated. A cosine transform then stands for the Fourier transform, and the transfer function is exact.
"""

from functools import lru_cache

import numpy as np
from scipy import fft

from advcli.corruptions._linear_light import to_linear, to_srgb


@lru_cache(maxsize=16)
def cycles_per_pixel(side: int) -> np.ndarray:
    """Return the frequencies of the cosine transform along one axis: -> (side,) float64 from 0 to below 1/2."""
    return np.arange(side) / (2 * side)


@lru_cache(maxsize=16)
def radial_frequency(side: int) -> np.ndarray:
    """Return the absolute frequencies of the cosine transform: -> (side, side) float64 in cycles per pixel."""
    axis = cycles_per_pixel(side)
    return np.hypot(axis[:, None], axis)


def apply_transfer(images: np.ndarray, even: np.ndarray, odd: np.ndarray | None = None) -> np.ndarray:
    """Multiply the spectra of the images' light by a real transfer function: (N, H, W, C) -> (N, H, W, C).

    Args:
        images: pixel values.
        even: ``(H(u, v) + H(u, -v)) / 2`` for the row and column frequencies of the cosine transform, H being the
            transfer function: (side, side), or (N, side, side) for one an image.
        odd: ``(H(u, v) - H(u, -v)) / 2`` likewise; None if it is 0, as for all that is symmetric about both axes.
    """
    spectra = np.asarray(fft.dctn(to_linear(images), axes=(1, 2)))
    blurred = np.asarray(fft.idctn(spectra * even[..., None].astype(np.float32), axes=(1, 2), overwrite_x=True))
    if odd is not None:
        # cos cos = (cos(+) + cos(-)) / 2 and sin sin = (cos(-) - cos(+)) / 2. The sines start at frequency 1.
        sines = np.zeros_like(spectra)
        sines[:, :-1, :-1] = (spectra * odd[..., None].astype(np.float32))[:, 1:, 1:]
        blurred -= np.asarray(fft.idstn(sines, axes=(1, 2), overwrite_x=True))
    return to_srgb(np.clip(blurred, 0, 1, out=blurred))
