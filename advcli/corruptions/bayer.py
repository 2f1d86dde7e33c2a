"""Bayer: a sensor with one colour a pixel, red, green, green and blue, and bilinear demosaicing.

Bayer 1976, https://patents.google.com/patent/US3971065A
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption, _separable
from advcli.corruptions._colour import luma
from advcli.corruptions._linear_light import to_linear, to_srgb
from advcli.corruptions._ranges import require_within


@dataclass(frozen=True)
class Bayer(PhysicalCorruption):
    """Integrate linear light over the pixels of a sensor, take one colour each, and interpolate the others.

    The sensor has ``round(size / pitch)`` pixels a side, at least 4; the picture is enlarged bilinearly to its size. An
    image of one channel is seen as a grey scene: what is returned is the luma of the coloured picture.

    Args:
        pitch: of the sensor's pixels, in pixels of the image, from 1.
    """

    group: ClassVar[str] = "sensor"
    parameter: ClassVar[str] = "pitch"
    unit: ClassVar[str] = "pixels"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {
        224: (1.5, 2.2, 3, 4, 5.5),
        64: (1, 1.3, 1.7, 2.2, 2.9),
        32: (1, 1.15, 1.35, 1.6, 2),
    }

    pitch: float | None = None

    def __post_init__(self) -> None:
        require_within("pitch", self.pitch, 1, 1000)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Sample and demosaic: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        sensor = max(4, round(side / self.strength(side, severity)))
        light = np.moveaxis(to_linear(images), 3, 0)
        red, green, blue = light if len(light) == 3 else (light[0],) * 3
        shrink, enlarge = _areas(side, sensor), _lines(side, sensor)
        fields = _separable.apply(shrink, green)
        crosses = (_neighbours(sensor) @ fields + fields @ _neighbours(sensor).T) / 2
        # Red stands at even rows and columns, blue at odd ones, green at the others.
        place = np.arange(sensor)
        greens = np.where((place[:, None] + place) % 2 == 1, fields, crosses)
        seen = [
            _separable.apply(enlarge @ _every_second(sensor, 0) @ shrink, red),
            _separable.apply(enlarge, greens),
            _separable.apply(enlarge @ _every_second(sensor, 1) @ shrink, blue),
        ]
        picture = to_srgb(np.clip(np.stack(seen, axis=3), 0, 1))
        return picture if images.shape[3] == 3 else luma(picture)


@lru_cache(maxsize=32)
def _areas(side: int, sensor: int) -> np.ndarray:
    """Return the matrix of means over sensor pixels, parts of pixels counted in part: -> (sensor, side) float32."""
    borders = np.arange(sensor + 1) * side / sensor
    covered = np.clip(borders[:, None] - np.arange(side), 0, 1)
    return (np.diff(covered, axis=0) * sensor / side).astype(np.float32)


@lru_cache(maxsize=32)
def _lines(side: int, sensor: int) -> np.ndarray:
    """Return the matrix of bilinear enlargement: -> (side, sensor) float32."""
    places = (np.arange(side) + 0.5) * sensor / side - 0.5
    return np.stack([np.interp(places, np.arange(sensor), row) for row in np.eye(sensor)], axis=1).astype(np.float32)


@lru_cache(maxsize=32)
def _every_second(sensor: int, first: int) -> np.ndarray:
    """Return the matrix of interpolation between every second pixel: -> (sensor, sensor) float32."""
    known = np.arange(first, sensor, 2)
    matrix = np.zeros((sensor, sensor), np.float32)
    matrix[:, known] = np.stack([np.interp(np.arange(sensor), known, row) for row in np.eye(len(known))], axis=1)
    return matrix


@lru_cache(maxsize=32)
def _neighbours(sensor: int) -> np.ndarray:
    """Return the matrix of means of the two neighbours, reflected at the borders: -> (sensor, sensor) float32."""
    matrix = (np.eye(sensor, k=1) + np.eye(sensor, k=-1)) / 2
    matrix[0, 1] = matrix[-1, -2] = 1
    return matrix.astype(np.float32)


COMPONENT = Bayer
