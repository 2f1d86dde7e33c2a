"""Random fields with a given spectrum: the amplitude of each frequency is fixed, its phase is random."""

from functools import lru_cache

import numpy as np
from scipy import fft


@lru_cache(maxsize=8)
def frequencies(side: int) -> np.ndarray:
    """Return the frequencies in cycles per image, with 0 in the middle: -> (side, side) float64."""
    axis = fft.fftshift(fft.fftfreq(side, 1 / side))
    return np.hypot(axis[:, None], axis)


def fields(amplitude: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Generate random fields with standard deviation 1: (S, S) -> (count, S, S) float32.

    As in the authors' code, the phases are symmetric about the middle of the array, which is half a pixel from
    frequency 0. The spectrum is therefore not Hermitian, and the field is the real part of its inverse transform. The
    mean square of its own amplitude is proportional to that of ``amplitude``.

    Args:
        amplitude: of the frequencies in the order of ``frequencies``; that of frequency 0 moves the mean.
        count: how many fields to generate.
        generator: the source of the phases.
    """
    size = amplitude.size
    half = generator.random((count, size // 2), np.float32)
    phases = 2 * np.pi * np.concatenate([half, np.zeros((count, size % 2), np.float32), half[:, ::-1]], axis=1)
    spectra = np.empty((count, *amplitude.shape), np.complex64)
    spectra.real = np.cos(phases).reshape(spectra.shape)
    spectra.imag = np.sin(phases).reshape(spectra.shape)
    spectra *= amplitude.astype(np.float32)
    noise = np.real(np.asarray(fft.ifft2(fft.ifftshift(spectra, axes=(1, 2)), overwrite_x=True)))
    return noise / noise.std(axis=(1, 2), keepdims=True)
