"""Motion: the scene moves evenly along a line during the exposure.

The transfer function: Goodman, Introduction to Fourier Optics
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._ranges import require_within
from advcli.corruptions._transfer import apply_transfer, cycles_per_pixel


@dataclass(frozen=True)
class Motion(PhysicalCorruption):
    """Convolution with a line in linear light: ``H(f) = sin(pi a) / (pi a)``, a = length times f along the line.

    Args:
        length: of the line, in pixels.
        angle: of the line, in degrees counter-clockwise from the rows; without it each image has a random one.
    """

    group: ClassVar[str] = "optics"
    parameter: ClassVar[str] = "length"
    unit: ClassVar[str] = "pixels"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {
        224: (4, 7, 10, 14, 19),
        64: (2, 3, 4.2, 5.7, 7.5),
        32: (1.3, 1.8, 2.4, 3.1, 4),
    }

    length: float | None = None
    angle: float | None = None

    def __post_init__(self) -> None:
        require_within("length", self.length, 0, 1000)
        require_within("angle", self.angle, -360, 360)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Blur: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        length = self.strength(side, severity)
        if self.angle is None:
            angles = np.array([generator.uniform(0, 180) for generator in generators])
        else:
            angles = np.array([self.angle])
        turned = np.radians(angles)[:, None, None]
        axis = (length * cycles_per_pixel(side)).astype(np.float32)
        # Rows are counted downwards, angles upwards.
        across, down = axis * np.cos(turned, dtype=np.float32), -axis[:, None] * np.sin(turned, dtype=np.float32)
        same, opposite = np.sinc(across + down), np.sinc(across - down)
        return apply_transfer(images, (same + opposite) / 2, (same - opposite) / 2)


COMPONENT = Motion
