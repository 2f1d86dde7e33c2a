"""Gain: the image is over-exposed, and what is brighter than full scale saturates.

The linear response of EMVA 1288, https://www.emva.org/standards-technology/emva-1288/
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._linear_light import to_linear, to_srgb
from advcli.corruptions._ranges import require_within


@dataclass(frozen=True)
class Gain(PhysicalCorruption):
    """``min(1, factor x)`` in linear light. A factor below 1 under-exposes.

    Args:
        factor: of the light: 2 is one stop.
    """

    group: ClassVar[str] = "sensor"
    parameter: ClassVar[str] = "factor"
    unit: ClassVar[str] = "times"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {224: (1.3, 1.7, 2.3, 3.1, 4.2)}

    factor: float | None = None

    def __post_init__(self) -> None:
        require_within("factor", self.factor, 0, 1000)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Amplify: (N, H, W, C) -> (N, H, W, C)."""
        factor = np.float32(self.strength(images.shape[1], severity))
        return to_srgb(np.minimum(to_linear(images) * factor, 1))


COMPONENT = Gain
