"""Contrast: reduce the contrast.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

_KEPT = {
    224: (0.4, 0.3, 0.2, 0.1, 0.05),
    64: (0.4, 0.3, 0.2, 0.1, 0.05),
    32: (0.75, 0.5, 0.4, 0.3, 0.15),
}


@dataclass(frozen=True)
class Contrast(Corruption):
    """``(x - mean) * factor + mean`` with the mean of each channel of each image."""

    group: ClassVar[str] = "digital"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Reduce the contrast: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        (kept,) = table(side, severity, _KEPT)
        mean = np.full(side * side, 1 / side**2, np.float32)
        # One by one: in what order values are added up, and so the last bit, would depend on the batch.
        means = np.stack([mean @ image.reshape(side * side, -1) for image in images])[:, None, None]
        lowered = images * np.float32(kept)
        lowered += (1 - np.float32(kept)) * means
        return np.clip(lowered, 0, 1, out=lowered)


COMPONENT = Contrast
