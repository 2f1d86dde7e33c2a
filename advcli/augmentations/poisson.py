"""Poisson noise: photon counting noise, whose variance is proportional to the brightness of the pixel.

Quantiles of bright pixels: Giles 2016, https://doi.org/10.1145/2699466
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from advcli.augmentations import Augmentation, _chance
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng

# From this rate on, the expansion is right but for one draw in ten thousand, which is then one photon off.
_BRIGHT = 10.0


@dataclass(frozen=True)
class Poisson(Augmentation):
    """``Poisson(peak * x) / peak``, independent for each pixel and channel.

    The peak is fixed. Other libraries derive it from the number of distinct values of an image, so that the noise
    almost vanishes after any other augmentation.

    Args:
        peak: mean number of photons of a white pixel.
        probability: the probability that an image gets noise; the others stay clean, to preserve clean accuracy.
    """

    stage: ClassVar[str] = "noise"
    covers: ClassVar[tuple[str, ...]] = ("shot-noise",)

    peak: float = 255.0
    probability: float = 0.5

    def __post_init__(self) -> None:
        if self.peak <= 0:
            raise UsageError(f"peak is not positive: {self.peak:g}")
        _chance.check(self.probability)

    def __call__(self, images: Tensor, rng: ImageRng) -> Tensor:
        """Add noise: (N, H, W, C) -> (N, H, W, C)."""
        rates = tf.reshape(self.peak * tf.maximum(images, 0.0), [-1])
        normal = tf.reshape(rng.normal(tf.shape(images)[1:]), [-1])
        dark = tf.where(rates < _BRIGHT)
        few = _few(tf.gather_nd(rates, dark), tf.gather_nd(normal, dark))
        counts = tf.tensor_scatter_nd_update(_many(rates, normal), dark, few)
        noisy = tf.reshape(counts / self.peak, tf.shape(images))
        return _chance.sometimes(rng, self.probability, images, noisy)


def _many(rates: Tensor, normal: Tensor) -> Tensor:
    """Return Poisson quantiles at the level of normal quantiles, by an expansion in the rate: (M,), (M,) -> (M,)."""
    rates = tf.maximum(rates, _BRIGHT)
    root, square = tf.sqrt(rates), normal * normal
    third = (square + 2) / 6 - normal * (square + 2) / (72 * root)
    fourth = ((square / 270 + 7 / 810) * square - 8 / 405) / rates
    return tf.maximum(tf.floor(rates + root * normal + third + fourth), 0.0)


def _few(rates: Tensor, normal: Tensor) -> Tensor:
    """Return Poisson quantiles at the level of normal quantiles, by summing probabilities: (M,), (M,) -> (M,)."""
    # Short of one, which rounded sums may never reach.
    level = tf.minimum(0.5 + 0.5 * tf.math.erf(normal / math.sqrt(2)), 1 - 1e-6)
    # In float32 the exponential of an image depends, in its last bit, on the place of the image in the batch.
    none = tf.cast(tf.exp(-tf.cast(rates, tf.float64)), tf.float32)

    def further(count: Tensor, probability: Tensor, below: Tensor, counts: Tensor) -> tuple[Tensor, ...]:
        probability *= rates / (count + 1)
        return count + 1, probability, below + probability, counts + tf.cast(level > below, tf.float32)

    def unfinished(count: Tensor, probability: Tensor, below: Tensor, counts: Tensor) -> Tensor:
        return tf.reduce_any(level > below)

    start = (0.0, none, none, tf.zeros_like(rates))
    return tf.while_loop(unfinished, further, start, maximum_iterations=64)[3]


COMPONENT = Poisson
