"""Low light: few photons a pixel, counted with read noise and shown as bright as before.

The photon-transfer model of EMVA 1288, https://www.emva.org/standards-technology/emva-1288/
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._linear_light import to_linear, to_srgb
from advcli.corruptions._photons import sensed
from advcli.corruptions._ranges import require_within


@dataclass(frozen=True)
class LowLight(PhysicalCorruption):
    """``(Poisson(photons x) + N(0, read_noise^2)) / photons`` in linear light, for each pixel and channel.

    Args:
        photons: that a white pixel catches on average.
        read_noise: standard deviation in electrons; a photon is one electron.
    """

    group: ClassVar[str] = "sensor"
    parameter: ClassVar[str] = "photons"
    unit: ClassVar[str] = "photons at full scale"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {224: (500, 200, 80, 40, 20)}
    increasing: ClassVar[bool] = False

    photons: float | None = None
    read_noise: float = 1.0

    def __post_init__(self) -> None:
        require_within("photons", self.photons, 0.1, 1e6)
        require_within("read_noise", self.read_noise, 0, 1e4)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Count photons: (N, H, W, C) -> (N, H, W, C)."""
        photons = self.strength(images.shape[1], severity)
        return to_srgb(np.clip(sensed(to_linear(images), photons, self.read_noise, generators), 0, 1))


COMPONENT = LowLight
