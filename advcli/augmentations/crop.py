"""Random crop: shift each image by a few pixels, with reflection padding."""

from dataclasses import dataclass
from typing import ClassVar

from advcli.augmentations import Augmentation
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng


@dataclass(frozen=True)
class Crop(Augmentation):
    """A random crop of the original size from the padded image.

    The padding is the image's reflection. Recipes for CIFAR pad with black, which does not occur in test images. Where
    the border of an image is black, as in MNIST, its reflection is black as well.

    Args:
        padding: width of the padding as a fraction of the image size, at least one pixel unless it is 0.
    """

    stage: ClassVar[str] = "geometry"

    padding: float = 1 / 16

    def __post_init__(self) -> None:
        if not 0 <= self.padding <= 0.5:
            raise UsageError(f"padding is not between 0 and 0.5 of the image size: {self.padding:g}")

    def __call__(self, images: Tensor, rng: ImageRng) -> Tensor:
        """Crop: (N, H, W, C) -> (N, H, W, C)."""
        count, height, width, channels = tf.unstack(tf.shape(images))
        where = rng.scalars(2)
        rows = self._read(height, where[:, :1])
        columns = self._read(width, where[:, 1:])
        places = tf.reshape(rows[:, :, None] * width + columns[:, None, :], [count, height * width])
        pixels = tf.gather(tf.reshape(images, [count, height * width, channels]), places, batch_dims=1)
        return tf.reshape(pixels, tf.shape(images))

    def _read(self, size: Tensor, where: Tensor) -> Tensor:
        """Return the source index of each pixel along an axis: (N, 1) in [0, 1) -> (N, size)."""
        border = tf.math.ceil(self.padding * tf.cast(size, tf.float32))
        offset = tf.cast(tf.floor(where * (2 * border + 1)) - border, tf.int32)
        places = tf.abs(tf.range(size)[None] + offset)
        # An image of a single pixel has nothing to reflect but itself.
        return tf.abs(size - 1 - tf.abs(size - 1 - places)) % size


COMPONENT = Crop
