"""Random draws that belong to one image each, whatever batch and place it is processed in."""

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from advcli.backend import Tensor, as_written, tf

if TYPE_CHECKING:
    import numpy as np


def hash_pixels(image: "np.ndarray") -> int:
    """Return a number that depends on an image's own values only: what is drawn for it does not depend on others."""
    import numpy as np

    return zlib.crc32(np.ascontiguousarray(image).tobytes())


def image_generator(image: "np.ndarray", seed: int) -> "np.random.Generator":
    """Return an image's random number generator, which depends on its values and the seed, not on the batch."""
    import numpy as np

    return np.random.default_rng([seed, hash_pixels(image)])


@dataclass(frozen=True)
class ImageRng:
    """A source of random numbers, one stream an image.

    Args:
        seeds: (N, 2) int32, one row an image.
    """

    seeds: Tensor

    @as_written
    def fold(self, data: int | Tensor) -> "ImageRng":
        """Return other draws for the same images, as a step or a restart of a method needs them."""
        data = tf.cast(data, tf.int32)
        return ImageRng(tf.map_fn(lambda seed: tf.random.experimental.stateless_fold_in(seed, data), self.seeds))

    @as_written
    def named(self, use: str) -> "ImageRng":
        """Return other draws for the same images, as one of several uses of them needs them.

        This takes all images at once; ``fold`` goes through them one by one.
        """
        mixed = _mixed(_packed(self.seeds) ^ _word(zlib.crc32(use.encode()) * _GOLDEN))
        return ImageRng(tf.bitcast(_mixed(mixed), tf.int32))

    @as_written
    def numbered(self, numbers: Tensor) -> "ImageRng":
        """Return other draws, each with a number of its own: for copies of one image, (N,) int32 -> N of them.

        This takes all numbers at once; ``fold`` goes through them one by one.
        """
        places = tf.cast(numbers + 1, tf.uint64) * _word(_GOLDEN)
        return ImageRng(tf.bitcast(_mixed(_mixed(_packed(self.seeds)) + places), tf.int32))

    @as_written
    def scalars(self, count: int) -> Tensor:
        """Draw a few uniform numbers for each image: -> (N, count) in [0, 1).

        This takes all images at once; ``uniform`` goes through them one by one, which pays for many numbers.
        """
        # Not a list of constants: a graph keeps those of 64 bits without a sign as rounded floats.
        places = tf.cast(tf.range(1, count + 1), tf.uint64) * _word(_GOLDEN)
        words = _mixed(_mixed(_packed(self.seeds))[:, None] + places)
        # As many bits as a float32 holds, so that none of the numbers is rounded up to one.
        return tf.cast(_shifted(words, 40), tf.float32) * 2.0**-24

    @as_written
    def uniform(self, shape: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw uniform numbers: a shape of one image -> (N, *shape) in [low, high)."""
        return tf.map_fn(
            lambda seed: tf.random.stateless_uniform(shape, seed, low, high),
            self.seeds,
            fn_output_signature=tf.float32,
        )

    @as_written
    def normal(self, shape: Tensor) -> Tensor:
        """Draw standard normal numbers: a shape of one image -> (N, *shape)."""
        return tf.map_fn(
            lambda seed: tf.random.stateless_normal(shape, seed),
            self.seeds,
            fn_output_signature=tf.float32,
        )


# A counter and a mixing function are a generator of random numbers, which needs no loop over the images:
# Steele, Lea and Flood 2014, https://doi.org/10.1145/2660193.2660195, with the constants of their SplitMix64.
_GOLDEN = 0x9E3779B97F4A7C15


def _word(value: int) -> Tensor:
    return tf.constant(value % 2**64, tf.uint64)


def _shifted(words: Tensor, bits: int) -> Tensor:
    return tf.bitwise.right_shift(words, _word(bits))


def _packed(seeds: Tensor) -> Tensor:
    return tf.bitcast(seeds, tf.uint64)


def _mixed(words: Tensor) -> Tensor:
    """Let every bit of a 64-bit word depend on every other."""
    words = (words ^ _shifted(words, 30)) * _word(0xBF58476D1CE4E5B9)
    words = (words ^ _shifted(words, 27)) * _word(0x94D049BB133111EB)
    return words ^ _shifted(words, 31)
