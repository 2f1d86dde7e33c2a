"""Plasma noise: blend the image with coloured waves that distort one another.

Mintun, Kirillov and Xie 2021, https://arxiv.org/abs/2102.11273
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption
from advcli.corruptions._colour import luma
from advcli.corruptions._parameters import table

# The authors' levels, from 0 to 10. ImageNet-C-bar has five of ten candidates for 224 pixels; for 32 pixels only the
# candidates are published, and those of the same ranks are taken.
_LEVEL = {224: (4.75, 7, 8.5, 9.25, 10), 32: (2.1, 4.2, 5.6, 6.3, 7)}


@dataclass(frozen=True)
class PlasmaNoise(Corruption):
    """``(1 - a) * x + a * n`` with ``a = 6.4 / 255 * level`` and a field n of sines, from -1 to 1."""

    group: ClassVar[str] = "bar"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Blend with plasma: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        (level,) = table(side, severity, _LEVEL)
        amount = np.float32(6.4 / 255 * level)
        waves = np.stack([_waves(side, generator) for generator in generators])
        if images.shape[3] == 1:
            waves = luma(waves)
        return np.clip((1 - amount) * images + amount * waves, 0, 1)


def _waves(side: int, generator: np.random.Generator) -> np.ndarray:
    """Return the colours: -> (side, side, 3) float32 in [-1, 1]."""
    time = generator.uniform(0, 6 * np.pi)
    rounds = generator.integers(4, 7)
    sharpness = generator.uniform(0.5, 1)
    places = np.arange(side, dtype=np.float32) / np.float32(generator.uniform(0.075, 0.2) * side)
    x, y = places[None, :], places[:, None]
    for turn in range(rounds):
        frequency, shift = np.float32(1.93**turn), np.float32(time / 1.15**turn)
        strength = np.float32((2.25 - sharpness) ** -turn)
        right, down = np.cos(frequency * y + shift) * strength, np.sin(frequency * x + shift) * strength
        x, y = x + (right - np.float32(0.3) * down), y + (down + np.float32(0.3) * right)
    red, blue = np.sin(x - np.float32(time)), np.sin(y + np.float32(time))
    green = np.sin((x + y + np.float32(np.sin(time))) * np.float32(0.5))
    return np.stack([red, green, blue], axis=-1)


COMPONENT = PlasmaNoise
