"""Rolling bands: a rolling shutter reads its rows while the light flickers.

Sheinin, Schechner and Kutulakos 2018, Rolling Shutter Imaging on the Electric Grid
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._linear_light import to_linear, to_srgb
from advcli.corruptions._ranges import require_within


@dataclass(frozen=True)
class RollingBands(PhysicalCorruption):
    """``x (1 - depth (1 + sin(2 pi bands t + phase)) / 2)`` in linear light, t in [0, 1] being the row's time.

    The phase is random for each image.

    Args:
        depth: by how much the darkest rows lose light, from 0 to 1.
        bands: periods of the flicker while the picture is read: 3 at 100 Hz in 30 ms.
    """

    group: ClassVar[str] = "sensor"
    parameter: ClassVar[str] = "depth"
    unit: ClassVar[str] = "share of the light"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {224: (0.4, 0.6, 0.75, 0.87, 0.95)}

    depth: float | None = None
    bands: float = 3.0

    def __post_init__(self) -> None:
        require_within("depth", self.depth, 0, 1)
        require_within("bands", self.bands, 0, 1000)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Darken rows: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        phases = np.array([generator.uniform(0, 2 * np.pi) for generator in generators])
        times = (np.arange(side) + 0.5) / side
        waves = (1 + np.sin(2 * np.pi * self.bands * times + phases[:, None])) / 2
        kept = (1 - self.strength(side, severity) * waves).astype(np.float32)
        return to_srgb(to_linear(images) * kept[:, :, None, None])


COMPONENT = RollingBands
