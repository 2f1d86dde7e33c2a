"""Gain: the image is over-exposed, and what is brighter than full scale saturates.

The linear response of EMVA 1288, https://www.emva.org/standards-technology/emva-1288/
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._light import linear_light, pixel_values
from advcli.corruptions._range import refuse_outside


@dataclass(frozen=True)
class Gain(PhysicalCorruption):
    """``min(1, factor x)`` in linear light. A factor below 1 under-exposes.

    Args:
        factor: of the light: 2 is one stop.
    """

    group: ClassVar[str] = "sensor"
    parameter: ClassVar[str] = "factor"
    unit: ClassVar[str] = "times the light"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {224: (1.4, 2, 2.8, 4, 6)}

    factor: float | None = None

    def __post_init__(self) -> None:
        refuse_outside("factor", self.factor, 0, 1000)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Amplify: (N, H, W, C) -> (N, H, W, C)."""
        return pixel_values(linear_light(images) * np.float32(self.strength(images.shape[1], severity)))


COMPONENT = Gain
