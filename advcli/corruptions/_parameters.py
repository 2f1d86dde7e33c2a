"""Parameters of a severity for an image size."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

# By image size: one number or tuple for each severity from 1 to 5.
Published = Mapping[int, Sequence[float | tuple[float, ...]]]


def table(side: int, severity: int, published: Published) -> tuple[float, ...]:
    """Return the parameters for images of one size.

    Between two published sizes each parameter is interpolated, linearly in the logarithm of the size; outside of them
    the parameters of the nearest size apply.

    Args:
        side: image size in pixels.
        severity: from 1 to 5.
        published: the published parameters, by image size.
    """
    sizes = sorted(published)
    rows = [np.atleast_1d(published[size][severity - 1]) for size in sizes]
    places = [math.log(size) for size in sizes]
    return tuple(float(np.interp(math.log(side), places, column)) for column in zip(*rows, strict=True))
