"""Canny edges, and distances to the nearest edge, for a batch of images.

Canny 1986, https://doi.org/10.1109/TPAMI.1986.4767851
"""

import numpy as np
from scipy import ndimage

# Pixels of different images of the batch are not connected.
_NEIGHBOURS = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])


def edges(pictures: np.ndarray, low: float, high: float) -> np.ndarray:
    """Detect edges: (N, H, W) in [0, 255] -> (N, H, W) bool.

    An edge pixel is a local maximum, across the edge, of the Sobel gradient ``|gx| + |gy|``, above ``low`` and
    connected to a pixel above ``high``.
    """
    height, width = pictures.shape[1:]
    wide = np.pad(pictures.astype(np.float32), ((0, 0), (1, 1), (1, 1)), mode="edge")
    smooth_down = wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]
    smooth_across = wide[:, :, :-2] + 2 * wide[:, :, 1:-1] + wide[:, :, 2:]
    across = smooth_down[:, :, 2:] - smooth_down[:, :, :-2]
    down = smooth_across[:, 2:] - smooth_across[:, :-2]
    flat, steep = np.abs(across), np.abs(down)
    length = np.pad(flat + steep, ((0, 0), (1, 1), (1, 1)))

    def beside(row: int, column: int) -> np.ndarray:
        return length[:, 1 + row : 1 + row + height, 1 + column : 1 + column + width]

    own = beside(0, 0)
    # The nearest of four directions of the gradient: they meet at multiples of 45 degrees plus 22.5 degrees.
    tangent = np.float32(np.tan(np.pi / 8))
    horizontal, vertical = steep < tangent * flat, flat < tangent * steep
    falling = ~(horizontal | vertical) & (across * down > 0)
    rising = ~(horizontal | vertical | falling)
    largest = horizontal & (own > beside(0, -1)) & (own >= beside(0, 1))
    largest |= vertical & (own > beside(-1, 0)) & (own >= beside(1, 0))
    largest |= falling & (own > beside(-1, -1)) & (own > beside(1, 1))
    largest |= rising & (own > beside(-1, 1)) & (own > beside(1, -1))
    likely = largest & (own > low)
    parts = np.zeros(likely.shape, np.int32)
    ndimage.label(likely, _NEIGHBOURS, output=parts)
    sure = np.zeros(int(parts.max(initial=0)) + 1, bool)
    sure[parts[likely & (own > high)]] = True
    return sure[parts]


def distance(marked: np.ndarray, farthest: int) -> np.ndarray:
    """Return the distance in pixels to the nearest marked pixel: (N, H, W) bool -> (N, H, W), at most ``farthest``."""
    squared = np.where(marked, 0, farthest**2).astype(np.float32)
    for axis in (1, 2):
        nearest = squared.copy()
        size = squared.shape[axis]
        for step in range(1, min(farthest, size)):
            for here, there in ((slice(step, None), slice(-step)), (slice(-step), slice(step, None))):
                own, other = ((slice(None),) * axis + (part,) for part in (here, there))
                np.minimum(nearest[own], squared[other] + step**2, out=nearest[own])
        squared = nearest
    return np.sqrt(squared)
