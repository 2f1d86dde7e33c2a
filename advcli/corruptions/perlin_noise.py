"""Perlin noise: blend the image with five octaves of Perlin's turbulence.

Mintun, Kirillov and Xie 2021, https://arxiv.org/abs/2102.11273
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

# The authors' levels, from 0 to 10. ImageNet-C-bar has five of ten candidates for 224 pixels; for 32 pixels only the
# candidates are published, and those of the same ranks are taken.
_LEVEL = {224: (4.6, 5.2, 5.8, 7.6, 8.8), 32: (4.6, 5.2, 5.8, 7.6, 8.8)}
# The image is 7 cells of the coarsest lattice wide.
_CELLS = 7
_OCTAVES = (1, 2, 4, 8, 16)
_GRADIENTS = 256


@dataclass(frozen=True)
class PerlinNoise(Corruption):
    """``(1 - a) * x + a * (1 + t) / 2`` with ``a = level / 20`` and t the sum of ``|noise(f * place)| / f``."""

    group: ClassVar[str] = "bar"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Blend with turbulence: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        (level,) = table(side, severity, _LEVEL)
        amount = np.float32(level / 20)
        turbulence = np.stack([_turbulence(side, _lattice(generator)) for generator in generators])
        grey = np.clip(turbulence / 2 + 0.5, 0, 1)[..., None]
        return np.clip((1 - amount) * images + amount * grey, 0, 1)


def _lattice(generator: np.random.Generator) -> np.ndarray:
    """Return the gradients at the points of the finest lattice: -> (2, P, P) float32, vectors of length 1."""
    order = generator.permutation(_GRADIENTS)
    gradients = generator.uniform(-1, 1, (2, _GRADIENTS)).astype(np.float32)
    gradients /= np.hypot(*gradients)
    points = np.arange(_CELLS * _OCTAVES[-1] + 1)
    return gradients[:, order[(order[points][:, None] + points) % _GRADIENTS]]


def _turbulence(side: int, lattice: np.ndarray) -> np.ndarray:
    """Return the sum of the octaves: (2, P, P) -> (side, side) float32."""
    total = np.zeros((side, side), np.float32)
    for octave in _OCTAVES:
        weights, products = _interpolation(side, octave)
        points = weights.shape[1]
        # The sum over corners of weight * (offset . gradient) is separable.
        noise = products @ lattice[0, :points, :points] @ weights.T
        noise += weights @ lattice[1, :points, :points] @ products.T
        total += np.abs(noise, out=noise) * np.float32(1.5 / octave)
    return total


@lru_cache(maxsize=32)
def _interpolation(side: int, octave: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights ``w`` of lattice points in pixels, and ``w * offset``: -> 2 x (side, points) float32."""
    places = np.arange(side) * (_CELLS * octave / side)
    first = np.floor(places).astype(np.intp)
    offsets = places[:, None] - np.arange(_CELLS * octave + 1)
    part = places - first
    smooth = part**2 * (3 - 2 * part)
    weights = np.zeros_like(offsets)
    weights[np.arange(side), first] = 1 - smooth
    weights[np.arange(side), first + 1] = smooth
    return weights.astype(np.float32), (weights * offsets).astype(np.float32)


COMPONENT = PerlinNoise
