"""Blue-noise sample: set pixels to black where noise of high frequencies is low.

Mintun, Kirillov and Xie 2021, https://arxiv.org/abs/2102.11273
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption, _random_phase
from advcli.corruptions._parameters import table

# The authors' levels, from 0 to 10; ImageNet-C-bar has them for 224 pixels, CIFAR-10-C-bar for 32.
_LEVEL = {224: (0.8, 1.6, 2.4, 4.0, 5.6), 32: (0.7, 1.4, 2.1, 3.5, 4.2)}


@dataclass(frozen=True)
class BlueNoiseSample(Corruption):
    """``x`` where the noise is above ``0.3 * level - 2.5`` standard deviations, 0 elsewhere.

    The amplitude of the noise is proportional to the frequency.
    """

    group: ClassVar[str] = "bar"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Drop pixels: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        (level,) = table(side, severity, _LEVEL)
        amplitude = _random_phase.frequencies(side)
        noise = np.concatenate([_random_phase.fields(amplitude, 1, generator) for generator in generators])
        return images * (noise > np.float32(0.3 * level - 2.5))[..., None]


COMPONENT = BlueNoiseSample
