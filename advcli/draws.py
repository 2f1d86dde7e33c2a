"""Random draws that belong to one image each, whatever batch and place it is processed in."""

from dataclasses import dataclass

from advcli.backend import Tensor, as_written, tf


@dataclass(frozen=True)
class Draws:
    """A source of random numbers, one stream an image.

    Args:
        seeds: (N, 2) int32, one row an image.
    """

    seeds: Tensor

    @as_written
    def fold(self, data: int | Tensor) -> "Draws":
        """Return other draws for the same images, as a step or a restart of a method needs them."""
        data = tf.cast(data, tf.int32)
        return Draws(tf.map_fn(lambda seed: tf.random.experimental.stateless_fold_in(seed, data), self.seeds))

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
