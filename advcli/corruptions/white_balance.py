"""White balance: the scene is lit by a black body, and the camera is set for 6504 kelvin.

Chromaticity of black bodies: Kim et al. 2002, Design of Advanced Color Temperature Control System for HDTV
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._colour import relative_luminance
from advcli.corruptions._linear_light import to_linear, to_srgb
from advcli.corruptions._ranges import require_within

_NEUTRAL = 6504.0
# From XYZ to linear sRGB, IEC 61966-2-1.
_TO_RGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])


@dataclass(frozen=True)
class WhiteBalance(PhysicalCorruption):
    """``x`` times the colour of the light over that at 6504 K, in linear light (von Kries' gains).

    The luminance of a white pixel stays, except what saturates. Images of one channel have no colour and stay the same.

    Args:
        kelvin: colour temperature of the light, from 2000 (red) to 25000 (blue); 6504 changes nothing.
    """

    group: ClassVar[str] = "sensor"
    parameter: ClassVar[str] = "kelvin"
    unit: ClassVar[str] = "kelvin"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {224: (5000, 4200, 3500, 2900, 2400)}
    increasing: ClassVar[bool] = False

    kelvin: float | None = None

    def __post_init__(self) -> None:
        require_within("kelvin", self.kelvin, 2000, 25000)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Tint: (N, H, W, C) -> (N, H, W, C)."""
        if images.shape[3] == 1:
            return images.copy()
        gains = _black_body(self.strength(images.shape[1], severity)) / _black_body(_NEUTRAL)
        gains = gains.astype(np.float32)
        return to_srgb(np.minimum(to_linear(images) * (gains / relative_luminance(gains)), 1))


def _black_body(kelvin: float) -> np.ndarray:
    """Return the colour of a black body in linear sRGB: -> (3,)."""
    t = 1000 / kelvin
    if kelvin <= 4000:
        x = np.polyval((-0.2661239, -0.2343589, 0.8776956, 0.179910), t)
    else:
        x = np.polyval((-3.0258469, 2.1070379, 0.2226347, 0.240390), t)
    if kelvin <= 2222:
        y = np.polyval((-1.1063814, -1.34811020, 2.18555832, -0.20219683), x)
    elif kelvin <= 4000:
        y = np.polyval((-0.9549476, -1.37418593, 2.09137015, -0.16748867), x)
    else:
        y = np.polyval((3.0817580, -5.87338670, 3.75112997, -0.37001483), x)
    return _TO_RGB @ np.array([x / y, 1, (1 - x - y) / y])


COMPONENT = WhiteBalance
