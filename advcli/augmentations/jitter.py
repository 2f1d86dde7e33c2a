"""Colour jitter: random changes of brightness, contrast, saturation and hue."""

import math
from dataclasses import dataclass
from typing import ClassVar

from advcli.augmentations import Augmentation
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng


@dataclass(frozen=True)
class Jitter(Augmentation):
    """Factors uniform in [1 - strength, 1 + strength] and a rotation of the hue, as one matrix for each image.

    Brightness scales an image, contrast scales it about its mean, saturation scales its colours about the grey axis,
    and hue rotates them about the grey axis: a third of a turn maps red to green. All four are linear in a pixel's
    channels and commute, so that they are one matrix for each image. Images of one channel get brightness and contrast
    only.

    Args:
        strength: maximum deviation of the three factors from 1.
        hue: maximum rotation of the hue in both directions, in turns.
    """

    stage: ClassVar[str] = "colour"
    covers: ClassVar[tuple[str, ...]] = ("brightness", "contrast", "saturate")

    strength: float = 0.4
    hue: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UsageError(f"strength is not between 0 and 1: {self.strength:g}")
        if not 0 <= self.hue <= 0.5:
            raise UsageError(f"hue is not between 0 and 0.5 turns: {self.hue:g}")

    def __call__(self, images: Tensor, rng: ImageRng) -> Tensor:
        """Change the colours: (N, H, W, C) -> (N, H, W, C)."""
        amounts = (2 * rng.scalars(4) - 1)[:, :, None, None]
        brightness, contrast, saturation = tf.unstack(1 + self.strength * amounts[:, :3], axis=1)
        mean = tf.reduce_mean(images, axis=(1, 2, 3))[:, None, None]
        scale, shift = brightness * contrast, brightness * (1 - contrast) * mean
        count, height, width, channels = tf.unstack(tf.shape(images))
        pixels = tf.reshape(images, [count, height * width, channels])
        if images.shape[-1] == 3:
            pixels = tf.matmul(pixels, scale * _colours(saturation, 2 * math.pi * self.hue * amounts[:, 3]))
        else:
            pixels *= scale
        return tf.reshape(pixels + shift, tf.shape(images))


def _colours(saturation: Tensor, angle: Tensor) -> Tensor:
    """Return the matrices that scale and rotate colours about the grey axis: (N, 1, 1) -> (N, 3, 3)."""
    # In float32 the sine of an image depends, in its last bit, on the place of the image in the batch.
    angle = tf.cast(angle, tf.float64)
    sine, cosine = tf.cast(tf.sin(angle), tf.float32), tf.cast(tf.cos(angle), tf.float32)
    grey = tf.fill([3, 3], 1 / 3)
    across = tf.constant([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]]) / math.sqrt(3)
    return grey + saturation * (cosine * (tf.eye(3) - grey) + sine * across)


COMPONENT = Jitter
