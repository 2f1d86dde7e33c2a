"""What a severity means at the size of an image."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

# By image size: for each severity from 1 to 5 one number, or a tuple of them.
Published = Mapping[int, Sequence[float | tuple[float, ...]]]


def table(side: int, severity: int, published: Published) -> tuple[float, ...]:
    """Return the parameters for images of one size.

    Between the sizes for which there are published ones each parameter is interpolated, linearly in the
    logarithm of the size; beyond them that of the nearest size holds.

    Args:
        side: of the square images, in pixels.
        severity: from 1 to 5.
        published: the published parameters, by size.
    """
    sizes = sorted(published)
    rows = [np.atleast_1d(published[size][severity - 1]) for size in sizes]
    places = [math.log(size) for size in sizes]
    return tuple(float(np.interp(math.log(side), places, column)) for column in zip(*rows, strict=True))
