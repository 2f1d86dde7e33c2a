"""Motion blur: convolution along a line."""

import math

import numpy as np


def weights(radius: int, sigma: float) -> np.ndarray:
    """Return the weights along the line, one half of a Gaussian with sum 1: -> (2 * radius + 1,)."""
    values = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    return (values / values.sum()).astype(np.float32)


def path(count: int, angle: float) -> tuple[list[int], list[int]]:
    """Return the pixels on a line, as offsets in rows and columns from the first.

    Args:
        count: number of pixels.
        angle: angle of the line, in degrees, clockwise from the row.
    """
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    return [math.ceil(i * sine - 0.5) for i in range(count)], [math.ceil(i * cosine - 0.5) for i in range(count)]


def moved(image: np.ndarray, radius: int, sigma: float, angle: float) -> np.ndarray:
    """Blur one image along a line, with edge padding: (H, W, ...) float32 -> the same shape."""
    values = weights(radius, sigma)
    rows, columns = path(len(values), angle)
    top, left = -min(rows), -min(columns)
    down = np.arange(-top, image.shape[0] + max(rows)).clip(0, image.shape[0] - 1)
    across = np.arange(-left, image.shape[1] + max(columns)).clip(0, image.shape[1] - 1)
    padded = image[down][:, across]
    blurred = np.zeros_like(image)
    for weight, row, column in zip(values, rows, columns, strict=True):
        blurred += weight * padded[top + row :, left + column :][: image.shape[0], : image.shape[1]]
    return blurred
