"""Frost: add ice on the lens, as a procedural texture instead of photos.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy import fft

from advcli.corruptions import Corruption
from advcli.corruptions._colour import colour_values
from advcli.corruptions._parameters import table

# How much of the image and how much of the ice is added up.
_FROST = {
    224: ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    64: ((1, 0.3), (0.9, 0.4), (0.8, 0.45), (0.75, 0.5), (0.7, 0.55)),
    32: ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
}
# The published sets use five photos of ice. These are their range of mean brightness, the mean of their standard
# deviations, and the colour of ice of medium brightness. The amplitude of clouds falls with this power of the
# frequency; the veins, which are sharp, are rougher.
_BRIGHTNESS = (0.48, 0.82)
_STD = 0.11
_COLOUR = (148, 167, 178)
_SLOPE = -1.5


@dataclass(frozen=True)
class Frost(Corruption):
    """``a * x + b * ice``; the ice has bright veins on a cloudy background.

    The published sets use photos of ice. Here a random texture of similar brightness and contrast is generated for each
    image. The weights are the published ones, the texture is not, so accuracies may differ.
    """

    group: ClassVar[str] = "weather"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Add frost: (N, H, W, C) -> (N, H, W, C)."""
        side, channels = images.shape[1], images.shape[3]
        kept, added = table(side, severity, _FROST)
        ice = np.stack([_ice(side, channels, generator) for generator in generators])
        return np.clip(np.float32(kept) * images + np.float32(added) * ice, 0, 1)


def _ice(side: int, channels: int, generator: np.random.Generator) -> np.ndarray:
    """Generate ice: -> (side, side, channels) float32 in [0, 1]."""
    cloud, other = _clouds(side, generator)
    # Where a field changes its sign there is a vein; the mean and the spread are those for a normal field.
    veins = (np.exp(-4 * np.abs(other)) - 0.189) / 0.25
    brightness = generator.uniform(*_BRIGHTNESS) + _STD * (0.6 * cloud + 0.8 * veins)
    colour = colour_values(_COLOUR, channels)
    tint = colour - colour_values(_COLOUR, 1)
    return np.clip(brightness[..., None] + tint, 0, 1).astype(np.float32)


def _clouds(side: int, generator: np.random.Generator) -> np.ndarray:
    """Generate two random fields with power-law spectra: -> (2, side, side), each with mean 0 and deviation 1."""
    spectrum = fft.rfft2(generator.standard_normal((2, side, side), np.float32)) * _falling(side)
    fields = np.asarray(fft.irfft2(spectrum, (side, side)))
    return fields / fields.std(axis=(1, 2), keepdims=True)


@lru_cache(maxsize=8)
def _falling(side: int) -> np.ndarray:
    frequency = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side)[None])
    frequency[0, 0] = np.inf
    return (frequency**_SLOPE).astype(np.float32)


COMPONENT = Frost
