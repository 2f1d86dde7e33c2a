"""PixMix: rounds of adding and multiplying an image with a fractal or with an altered copy of itself.

Hendrycks, Zou, Mazeika, Tang, Li, Song and Steinhardt 2022, https://arxiv.org/abs/2112.05135
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.augmentations import Augmentation
from advcli.augmentations._fractals import fractals
from advcli.backend import Tensor, tf
from advcli.data.image_operations import OPERATIONS, operated
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.tracing import as_written


@dataclass(frozen=True)
class PixMix(Augmentation):
    """From the image or an altered copy, zero to k rounds of ``add`` or ``multiply``, each as likely as the other.

    With values in [-1, 1], ``add`` is ``a x + b z``; with values in [0, 2], ``multiply`` is ``x^a z^b``. The other
    picture z is the fractal of the image or a copy of it altered by one operation of AugMix. Half of the weights are
    ``a ~ Beta(beta, 1), b ~ Beta(1, beta)``, the other half ``a ~ 1 + Beta(1, beta), b ~ -Beta(1, beta)``. The defaults
    are the paper's for ImageNet; for CIFAR-10 it has beta=3 and severity=3. The fractals are made by iterated function
    systems, not downloaded; each image sees another part of one.

    Args:
        rounds: greatest number of rounds, k; the number is uniform from zero on.
        beta: parameter of the weights; a greater one preserves more of the image.
        severity: greatest strength of the operations that alter a copy, from 0.1 to 10.
        fractals: number of fractals to choose from.
    """

    stage: ClassVar[str] = "colour"

    rounds: int = 4
    beta: float = 4.0
    severity: float = 1.0
    fractals: int = 128

    def __post_init__(self) -> None:
        if self.rounds < 0:
            raise UsageError(f"rounds is negative: {self.rounds}")
        if self.beta <= 0:
            raise UsageError(f"beta is not positive: {self.beta:g}")
        if not 0.1 <= self.severity <= 10:
            raise UsageError(f"severity is between 0.1 and 10, not {self.severity:g}")
        if self.fractals < 1:
            raise UsageError(f"fractals is less than one: {self.fractals}")

    def __call__(self, images: Tensor, rng: ImageRng) -> Tensor:
        """Mix: (N, H, W, C) -> (N, H, W, C)."""
        picture = self._picture(images, rng.named("picture"))
        begins, number = tf.unstack(rng.named("rounds").scalars(2), axis=1)
        mixed = self._altered(images, begins < 0.5, rng.named("copy"))
        number = tf.cast(number * (self.rounds + 1), tf.int32)
        for turn in range(self.rounds):
            stream = rng.named(f"round {turn}")
            altered, multiplied = tf.unstack(stream.scalars(2), axis=1)
            other = tf.where((altered < 0.5)[:, None, None, None], images, picture)
            other = self._altered(other, altered < 0.5, stream.named("copy"))
            first, second = weights(stream.named("weights").scalars(3), self.beta)
            kind = tf.where(turn < number, tf.cast(multiplied < 0.5, tf.int32), 2)
            places = tf.dynamic_partition(tf.range(tf.shape(images)[0]), kind, 3)
            add, multiply = (
                [tf.gather(values, place) for values in (mixed, other, first, second)] for place in places[:2]
            )
            unchanged = tf.gather(mixed, places[2])
            mixed = tf.dynamic_stitch(places, [added(*add), multiplied_by(*multiply), unchanged])
            mixed = tf.ensure_shape(mixed, images.shape)
        return mixed

    def _altered(self, images: Tensor, chosen: Tensor, rng: ImageRng) -> Tensor:
        """Apply one operation to each of the chosen images: (N, H, W, C), (N,) -> (N, H, W, C)."""
        operation, strength, sign = tf.unstack(rng.scalars(3), axis=1)
        operations = tf.where(chosen, tf.cast(operation * len(OPERATIONS), tf.int32), len(OPERATIONS))
        strengths = 0.1 + (self.severity - 0.1) * strength
        return operated(images, operations, strengths, tf.where(sign < 0.5, -1.0, 1.0))

    def _picture(self, images: Tensor, rng: ImageRng) -> Tensor:
        """Return a part of a fractal, some mirrored, for each image: (N, H, W, C) -> (N, H, W, C)."""
        pool = tf.constant(fractals(self.fractals))
        which, scale, down, across, mirrored = tf.unstack(rng.scalars(5), axis=1)
        side = 0.4 + 0.6 * scale
        top, left = down * (1 - side), across * (1 - side)
        right = left + side
        left, right = tf.where(mirrored < 0.5, left, right), tf.where(mirrored < 0.5, right, left)
        boxes = tf.stack([top, left, top + side, right], axis=1)
        chosen = tf.cast(which * self.fractals, tf.int32)
        parts = tf.image.crop_and_resize(pool, boxes, chosen, tf.shape(images)[1:3]) / 255
        parts = tf.clip_by_value(parts, 0.0, 1.0)
        return parts if images.shape[-1] == 3 else tf.reduce_mean(parts, axis=3, keepdims=True)


@as_written
def weights(uniform: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Turn uniform numbers into the weights of image and picture: (N, 3) in [0, 1) -> (N, 1, 1, 1) each."""
    # In float32 the last bit of a power depends on the image's position in the batch.
    half, image, picture = tf.unstack(tf.cast(uniform, tf.float64)[:, :, None, None, None], axis=1)
    likely, unlikely = 1 - (1 - image) ** (1 / beta), 1 - (1 - picture) ** (1 / beta)
    first, second = tf.where(half < 0.5, 1 - likely, 1 + likely), tf.where(half < 0.5, unlikely, -unlikely)
    return tf.cast(first, tf.float32), tf.cast(second, tf.float32)


def added(images: Tensor, pictures: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return ``a x + b z`` with values in [-1, 1], clipped, in [0, 1] again: (M, H, W, C) -> (M, H, W, C)."""
    return tf.clip_by_value((first * (2 * images - 1) + second * (2 * pictures - 1) + 1) / 2, 0.0, 1.0)


def multiplied_by(images: Tensor, pictures: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return ``x^a z^b`` with values in [0, 2], clipped, in [0, 1] again: (M, H, W, C) -> (M, H, W, C)."""
    # Powers of zero stay finite; in float32 the last bit depends on the image's position in the batch.
    image, picture = (tf.math.log(tf.maximum(2 * tf.cast(x, tf.float64), 1e-37)) for x in (images, pictures))
    product = tf.exp(tf.cast(first, tf.float64) * image + tf.cast(second, tf.float64) * picture) / 2
    return tf.clip_by_value(tf.cast(product, tf.float32), 0.0, 1.0)


COMPONENT = PixMix
