"""Separable linear filters, as matrices for rows and columns."""

import math
from functools import lru_cache

import numpy as np
from scipy import ndimage


def apply(matrix: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Apply a matrix to the columns and the rows of images: (M, S), (..., S, S) -> (..., M, M)."""
    return matrix @ images @ matrix.T


@lru_cache(maxsize=128)
def zoom(side: int, factor: float) -> np.ndarray:
    """Return the matrix that enlarges the centre of an image bilinearly to its full size: -> (side, side) float32.

    Args:
        side: image size in pixels.
        factor: magnification, at least 1.
    """
    kept = math.ceil(side / factor)
    # The enlarged centre may be larger than the image, and is then cropped.
    enlarged = round(kept * factor)
    places = (np.arange(side) + (enlarged - side) // 2) * (kept - 1) / max(enlarged - 1, 1)
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, kept - 1)
    matrix = np.zeros((side, side), np.float32)
    first = (side - kept) // 2
    np.add.at(matrix, (np.arange(side), first + low), 1 - (places - low))
    np.add.at(matrix, (np.arange(side), first + high), places - low)
    return matrix


@lru_cache(maxsize=32)
def gaussian(side: int, sigma: float, truncate: float) -> np.ndarray:
    """Return the matrix of a Gaussian blur with reflection padding: -> (side, side) float32."""
    blurred = ndimage.gaussian_filter1d(np.eye(side), sigma, axis=0, mode="reflect", truncate=truncate)
    return blurred.astype(np.float32)


@lru_cache(maxsize=32)
def boxes(side: int, small: int) -> np.ndarray:
    """Return the matrix of a box filter that reduces ``side`` pixels to ``small``: -> (small, side) float32.

    A pixel belongs entirely to the box that contains its centre; a pixel on a border belongs to the lower box.
    """
    # In integers, to decide exactly on which side of a border a pixel lies.
    number = -(-(2 * np.arange(side) + 1) * small // (2 * side)) - 1
    inside = number == np.arange(small)[:, None]
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)
