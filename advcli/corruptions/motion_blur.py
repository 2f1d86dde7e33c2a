"""Motion blur: convolution along a line at a random angle, as from a moving camera.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption, _motion
from advcli.corruptions._parameters import table

# Half the length of the line, and the standard deviation with which it fades.
_LINE = {
    224: ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    64: ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
    32: ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
}


@dataclass(frozen=True)
class MotionBlur(Corruption):
    """Convolution along a line at an angle uniform in [-45, 45] degrees, with half-Gaussian weights."""

    group: ClassVar[str] = "blur"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Blur: (N, H, W, C) -> (N, H, W, C)."""
        radius, sigma = table(images.shape[1], severity, _LINE)
        blurred = [
            _motion.moved(image, round(radius), sigma, generator.uniform(-45, 45))
            for image, generator in zip(images, generators, strict=True)
        ]
        return np.clip(np.stack(blurred), 0, 1)


COMPONENT = MotionBlur
