"""Brownish noise: add noise of low frequencies to each channel.

Mintun, Kirillov and Xie 2021, https://arxiv.org/abs/2102.11273
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption, _random_phase
from advcli.corruptions._parameters import table

# The authors' levels, from 0 to 10; ImageNet-C-bar has them for 224 pixels, CIFAR-10-C-bar for 32.
_LEVEL = {224: (1, 2, 3, 4, 5), 32: (2.5, 4, 5.5, 6.5, 7)}


@dataclass(frozen=True)
class BrownishNoise(Corruption):
    """``x + 6.4 / 255 * level * n``; n has standard deviation 1 and the amplitude ``1 / (f^2 + 1)`` at frequency f.

    Frequency 0 counts, so that the noise also changes the mean of each channel.
    """

    group: ClassVar[str] = "bar"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add noise: (N, H, W, C) -> (N, H, W, C)."""
        side, channels = images.shape[1], images.shape[3]
        (level,) = table(side, severity, _LEVEL)
        amplitude = 1 / (_random_phase.frequencies(side) ** 2 + 1)
        noise = np.stack([_random_phase.fields(amplitude, channels, generator) for generator in generators])
        noise *= np.float32(6.4 / 255 * level)
        return np.clip(images + noise.transpose(0, 2, 3, 1), 0, 1)


COMPONENT = BrownishNoise
