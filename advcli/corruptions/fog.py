"""Fog: add a bright fractal haze.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

# Strength of the haze, and decay of its roughness at each halving of the scale.
_FOG = {
    224: ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    64: ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
    32: ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
}


@dataclass(frozen=True)
class Fog(Corruption):
    """``(x + a * haze) * m / (m + a)`` with m the largest value of the image."""

    group: ClassVar[str] = "weather"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add fog: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        amount, decay = table(side, severity, _FOG)
        size = 1 << (side - 1).bit_length()
        noise = np.stack([generator.random((size, size), np.float32) for generator in generators])
        haze = plasma(2 * noise - 1, decay)[:, :side, :side, None]
        largest = images.max(axis=(1, 2, 3), keepdims=True)
        return np.clip((images + np.float32(amount) * haze) * (largest / (largest + np.float32(amount))), 0, 1)


def plasma(noise: np.ndarray, decay: float) -> np.ndarray:
    """Return height maps by the diamond-square algorithm on a torus: (N, S, S) in [-1, 1] -> (N, S, S) in [0, 1].

    Args:
        noise: uniform random numbers; S is a power of two.
        decay: divisor of the strength at each halving of the distance. The published code applies the strength twice,
        so that the noise decreases with its square.
    """
    heights = np.zeros_like(noise)
    step, strength = noise.shape[1], 100.0
    while step >= 2:
        half = step // 2
        corners = heights[:, ::step, ::step]
        pairs = corners + np.roll(corners, -1, axis=1)
        rough = np.float32(strength**2) * noise
        centres = (pairs + np.roll(pairs, -1, axis=2)) / 4 + rough[:, half::step, half::step]
        heights[:, half::step, half::step] = centres
        above = centres + np.roll(centres, 1, axis=1) + corners + np.roll(corners, -1, axis=2)
        heights[:, ::step, half::step] = above / 4 + rough[:, ::step, half::step]
        beside = centres + np.roll(centres, 1, axis=2) + corners + np.roll(corners, -1, axis=1)
        heights[:, half::step, ::step] = beside / 4 + rough[:, half::step, ::step]
        step, strength = half, strength / decay
    heights -= heights.min(axis=(1, 2), keepdims=True)
    return heights / heights.max(axis=(1, 2), keepdims=True)


COMPONENT = Fog
