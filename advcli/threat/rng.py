"""Random numbers for each image, independent of the batch and of the position in it."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from advcli.backend import Tensor, tf
from advcli.tracing import as_written

if TYPE_CHECKING:
    import numpy as np


def hash_pixels(image: "np.ndarray") -> int:
    """Return a number that depends on an image's own values only: what is drawn for it does not depend on others."""
    import numpy as np

    return zlib.crc32(np.ascontiguousarray(image).tobytes())


def image_seeds(images: "np.ndarray", seed: int) -> "np.ndarray":
    """Return a seed for each image, computed from its pixels and ``seed``: (N, H, W, C) -> (N, 2) int32."""
    import numpy as np

    rows = [(hash_pixels(image), seed) for image in images]
    return np.array(rows, dtype=np.uint32).reshape(-1, 2).astype(np.int32)


def image_generator(image: "np.ndarray", seed: int) -> "np.random.Generator":
    """Return an image's random number generator, which depends on its values and the seed, not on the batch."""
    import numpy as np

    return np.random.default_rng([seed, hash_pixels(image)])


@as_written
@dataclass(frozen=True)
class ImageRng:
    """A random number generator with one stream an image.

    Args:
        seeds: (N, 2) int32, the seed of each image.
    """

    seeds: Tensor

    def fold(self, data: int | Tensor) -> "ImageRng":
        """Return independent streams for the same images, for a step or a restart of a method."""
        data = tf.cast(data, tf.int32)
        folded = as_written(lambda seed: tf.random.experimental.stateless_fold_in(seed, data))
        return ImageRng(tf.map_fn(folded, self.seeds))

    def named(self, use: str) -> "ImageRng":
        """Return independent streams for the same images, for one of several uses.

        This is vectorised over the images; ``fold`` is a loop.
        """
        mixed = _mixed(_packed(self.seeds) ^ _word(zlib.crc32(use.encode()) * _GOLDEN))
        return ImageRng(tf.bitcast(_mixed(mixed), tf.int32))

    def numbered(self, numbers: Tensor) -> "ImageRng":
        """Return independent streams, one for each number, for copies of one image: (N,) int32 -> N streams.

        A single number is that of all images, such as that of a step.

        This is vectorised over the numbers; ``fold`` is a loop.
        """
        places = tf.cast(numbers + 1, tf.uint64) * _word(_GOLDEN)
        return ImageRng(tf.bitcast(_mixed(_mixed(_packed(self.seeds)) + places), tf.int32))

    def scalars(self, count: int | Tensor) -> Tensor:
        """Sample uniform numbers for each image: -> (N, count) in [0, 1).

        This is vectorised over the images; ``uniform`` is a loop, which is faster for many numbers an image.
        """
        # Not a list of constants: a graph stores unsigned 64-bit constants as rounded floats.
        places = tf.cast(tf.range(1, count + 1), tf.uint64) * _word(_GOLDEN)
        words = _mixed(_mixed(_packed(self.seeds))[:, None] + places)
        # 24 bits, the precision of float32, so that no number is rounded up to one.
        return tf.cast(_shifted(words, 40), tf.float32) * 2.0**-24

    def uniform(self, shape: Sequence[int | Tensor] | Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Sample uniform numbers: the shape of one image -> (N, *shape) in [low, high)."""
        return tf.map_fn(
            as_written(lambda seed: tf.random.stateless_uniform(shape, seed, low, high)),
            self.seeds,
            fn_output_signature=tf.float32,
        )

    def normal(self, shape: Sequence[int | Tensor] | Tensor) -> Tensor:
        """Sample standard normal numbers: the shape of one image -> (N, *shape)."""
        return tf.map_fn(
            as_written(lambda seed: tf.random.stateless_normal(shape, seed)),
            self.seeds,
            fn_output_signature=tf.float32,
        )


def dirichlet(uniform: Tensor) -> Tensor:
    """Turn uniform numbers into samples of the symmetric Dirichlet distribution, alpha = 1: (..., K) -> (..., K)."""
    # In float32 the last bit of the logarithm depends on the image's position in the batch.
    exponential = -tf.math.log(1 - tf.cast(uniform, tf.float64))
    return tf.cast(exponential / tf.reduce_sum(exponential, axis=-1, keepdims=True), tf.float32)


# A counter and a mixing function form a counter-based generator, which needs no loop over the images:
# Steele, Lea and Flood 2014, https://doi.org/10.1145/2660193.2660195, with the constants of their SplitMix64.
_GOLDEN = 0x9E3779B97F4A7C15


def _word(value: int) -> Tensor:
    return tf.constant(value % 2**64, tf.uint64)


def _shifted(words: Tensor, bits: int) -> Tensor:
    return tf.bitwise.right_shift(words, _word(bits))


def _packed(seeds: Tensor) -> Tensor:
    return tf.bitcast(seeds, tf.uint64)


def _mixed(words: Tensor) -> Tensor:
    """Mix a 64-bit word so that every bit depends on every input bit."""
    words = (words ^ _shifted(words, 30)) * _word(0xBF58476D1CE4E5B9)
    words = (words ^ _shifted(words, 27)) * _word(0x94D049BB133111EB)
    return words ^ _shifted(words, 31)
