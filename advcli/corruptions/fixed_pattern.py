"""Fixed-pattern noise: each pixel of the sensor has its own gain and offset, the same in every image.

PRNU and DSNU of EMVA 1288, https://www.emva.org/standards-technology/emva-1288/
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._linear_light import to_linear, to_srgb
from advcli.corruptions._ranges import require_within


@dataclass(frozen=True)
class FixedPattern(PhysicalCorruption):
    """``x (1 + prnu g) + dsnu o`` in linear light; g and o are standard normal, for each pixel and channel.

    They are drawn once for a sensor, so that neither the image nor the seed of the evaluation changes them.

    Args:
        prnu: standard deviation of the gain (photo-response non-uniformity), as a share of it.
        dsnu: standard deviation of the offset (dark-signal non-uniformity), as a share of full scale.
        pattern: the number of the sensor: the seed of its pattern.
    """

    group: ClassVar[str] = "sensor"
    parameter: ClassVar[str] = "prnu"
    unit: ClassVar[str] = "share of the gain"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {224: (0.1, 0.17, 0.26, 0.38, 0.55)}

    prnu: float | None = None
    dsnu: float = 0.001
    pattern: int = 0

    def __post_init__(self) -> None:
        require_within("prnu", self.prnu, 0, 10)
        require_within("dsnu", self.dsnu, 0, 1)
        require_within("pattern", self.pattern, 0, 2**32 - 1)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Apply gains and offsets: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        gain, offset = _sensor(side, images.shape[3], self.pattern)
        gains = 1 + np.float32(self.strength(side, severity)) * gain
        return to_srgb(np.clip(to_linear(images) * gains + np.float32(self.dsnu) * offset, 0, 1))


@lru_cache(maxsize=8)
def _sensor(side: int, channels: int, pattern: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the gains and the offsets of a sensor: -> two of (side, side, channels) float32."""
    generator = np.random.default_rng((pattern, side))
    gain, offset = generator.standard_normal((2, side, side, channels), np.float32)
    return gain, offset


COMPONENT = FixedPattern
