"""Zoom blur: the mean of the image at several magnifications, as from a camera that approaches.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption, _separable
from advcli.corruptions._parameters import table

# Up to where the image is enlarged, and in which steps.
_ZOOM = {
    224: ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    64: ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    32: ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
}


@dataclass(frozen=True)
class ZoomBlur(Corruption):
    """The mean of the image and of its centre at the magnifications 1, 1 + step, 1 + 2 step ..."""

    group: ClassVar[str] = "blur"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Blur: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        stop, step = table(side, severity, _ZOOM)
        factors = np.arange(1, stop, step).tolist()
        planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        total = planes.copy()
        for factor in factors:
            total += _separable.apply(_separable.zoom(side, factor), planes)
        return np.clip(total / (len(factors) + 1), 0, 1).transpose(0, 2, 3, 1)


COMPONENT = ZoomBlur
