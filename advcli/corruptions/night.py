"""Night: a monochrome camera in low light, without colours and with few photons a pixel.

The photon-transfer model of EMVA 1288, https://www.emva.org/standards-technology/emva-1288/
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._colour import relative_luminance
from advcli.corruptions._linear_light import to_linear, to_srgb
from advcli.corruptions._photons import sensed
from advcli.corruptions._ranges import require_within


@dataclass(frozen=True)
class Night(PhysicalCorruption):
    """``(Poisson(photons Y) + N(0, read_noise^2)) / photons``, Y being the luminance in linear light.

    All channels have the same value. Images of one channel only get the noise.

    Args:
        photons: that a white pixel catches on average.
        read_noise: standard deviation in electrons; a photon is one electron.
    """

    group: ClassVar[str] = "sensor"
    parameter: ClassVar[str] = "photons"
    unit: ClassVar[str] = "photons"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {224: (500, 200, 80, 40, 20)}
    increasing: ClassVar[bool] = False

    photons: float | None = None
    read_noise: float = 1.0

    def __post_init__(self) -> None:
        require_within("photons", self.photons, 0.1, 1e6)
        require_within("read_noise", self.read_noise, 0, 1e4)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Take away the colours and count photons: (N, H, W, C) -> (N, H, W, C)."""
        photons = self.strength(images.shape[1], severity)
        grey = sensed(relative_luminance(to_linear(images)), photons, self.read_noise, generators)
        return np.repeat(to_srgb(np.clip(grey, 0, 1)), images.shape[3], axis=3)


COMPONENT = Night
