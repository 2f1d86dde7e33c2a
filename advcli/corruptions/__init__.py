"""Corruptions that happen to images without anybody meaning it: one file a corruption."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np

# In the order in which benchmarks list them; the last holds those kept for validation.
GROUPS = ("noise", "blur", "weather", "digital", "extra")


class Corruption(Protocol):
    """A corruption of images at one of five severities.

    ``group`` is one of ``GROUPS``.
    """

    group: ClassVar[str]

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Corrupt images: (N, H, W, C) float32 in [0, 1] -> (N, H, W, C) float32 in [0, 1].

        Args:
            images: square, with one channel or three.
            severity: from 1 to 5; what it means depends on the images' size.
            generators: the only source of randomness, one an image.
        """
        ...
