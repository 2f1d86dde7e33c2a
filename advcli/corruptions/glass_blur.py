"""Glass blur: random local displacement of pixels, as behind frosted glass.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

# The standard deviation of the blur before and after, how far pixels go, and how often.
_GLASS = {
    224: ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    64: ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
    32: ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
}


@dataclass(frozen=True)
class GlassBlur(Corruption):
    """Gaussian blur, displacement of pixels, and the same blur again.

    From the lower right to the upper left, each pixel takes the value of a pixel nearby, which may have been displaced
    before. The paper describes an exchange of pixels, but the code of the published sets overwrites one of the two.
    This follows the code, so that results are comparable. As there, displacements are up to d - 1 to the lower right
    and up to d to the upper left.
    """

    group: ClassVar[str] = "blur"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Displace pixels: (N, H, W, C) -> (N, H, W, C)."""
        side, channels = images.shape[1], images.shape[3]
        sigma, farthest, times = table(side, severity, _GLASS)
        # As published: in between, the images have 8 bits.
        pixels = np.floor(_blurred(images, sigma) * 255 + 2**-10).reshape(-1, side * side, channels)
        sources = [displaced(side, round(farthest), round(times), generator) for generator in generators]
        moved = np.take_along_axis(pixels, np.stack(sources)[:, :, None], axis=1)
        return np.clip(_blurred(moved.reshape(images.shape) / 255, sigma), 0, 1)


def displaced(side: int, farthest: int, times: int, generator: np.random.Generator) -> np.ndarray:
    """Sample the source index of each pixel, in row-major order: -> (side * side,)."""
    rows = np.arange(side - farthest, farthest, -1)
    here = (rows[:, None] * side + rows).ravel()
    # A list, because one pixel after the other is far quicker in it than in an array.
    source = list(range(side * side))
    for _ in range(times):
        offsets = generator.integers(-farthest, farthest, (2, len(here)))
        for place, other in zip(here.tolist(), (here + offsets[0] * side + offsets[1]).tolist(), strict=True):
            source[place] = source[other]
    return np.array(source)


def _blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(images, (0, sigma, sigma, 0), mode="nearest")


COMPONENT = GlassBlur
