"""Concentric sine waves: add rings around a point, whose radius varies with the angle as a sine.

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
_LEVEL = {224: (3, 5, 8, 9, 10), 32: (1.5, 2.5, 4, 4.5, 5)}


@dataclass(frozen=True)
class ConcentricSineWaves(Corruption):
    """``x + 12.8 / 255 * level * w``; w rises from -1/2 to 1/2 in each ring. The name has the authors' spelling."""

    group: ClassVar[str] = "bar"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add rings: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        (level,) = table(side, severity, _LEVEL)
        waves = np.stack([_rings(side, generator) for generator in generators])
        return np.clip(images + np.float32(12.8 / 255 * level) * waves[..., None], 0, 1)


def _rings(side: int, generator: np.random.Generator) -> np.ndarray:
    """Return the wave: -> (side, side) float32 in [-0.5, 0.5]."""
    across, down = generator.uniform(0, side, 2)
    petals = generator.uniform(0, 10)
    # From above 0 to a tenth of the side: a ring of width 0 has no wave.
    amplitude, width = (1 - generator.random(2)) * side / 10
    places = np.arange(side, dtype=np.float32)
    right, below = places - np.float32(across), places[:, None] - np.float32(down)
    radii = np.sqrt(right * right + below * below)
    radii += np.float32(amplitude) * np.sin(np.float32(petals) * np.arctan2(right, below))
    radii /= np.float32(width)
    radii -= np.floor(radii)
    radii -= 0.5
    return radii


COMPONENT = ConcentricSineWaves
