"""Single-frequency greyscale: add a sine wave of one random frequency to all channels.

Mintun, Kirillov and Xie 2021, https://arxiv.org/abs/2102.11273
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

# The authors' levels, from 0 to 10. ImageNet-C-bar has five of ten candidates for 224 pixels; for 32 pixels only the
# candidates are published, and those of the same ranks are taken.
_LEVEL = {224: (1, 1.5, 2, 4.5, 5), 32: (0.6, 0.9, 1.2, 2.7, 3)}


@dataclass(frozen=True)
class SingleFrequencyGreyscale(Corruption):
    """``x + 19.6 / 255 * level * sin(u * column + v * row + phase)``.

    Of u and v one is uniform up to pi radians a pixel in absolute value, the other up to the first.
    """

    group: ClassVar[str] = "bar"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add a wave: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        (level,) = table(side, severity, _LEVEL)
        waves = np.stack([_wave(side, generator) for generator in generators])
        return np.clip(images + np.float32(19.6 / 255 * level) * waves[..., None], 0, 1)


def _wave(side: int, generator: np.random.Generator) -> np.ndarray:
    """Return the wave: -> (side, side) float32 in [-1, 1]."""
    first = generator.uniform(-np.pi, np.pi)
    second = generator.uniform(-abs(first), abs(first))
    across, down = (first, second) if generator.random() < 0.5 else (second, first)
    phase = generator.uniform(0, 2 * np.pi)
    places = np.arange(side)
    # sin(a + b) = sin a cos b + cos a sin b.
    row, column = down * places[:, None] + phase, across * places
    return (np.sin(row) * np.cos(column) + np.cos(row) * np.sin(column)).astype(np.float32)


COMPONENT = SingleFrequencyGreyscale
