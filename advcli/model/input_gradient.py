"""Operations on images whose gradients are faster or safer than those of TensorFlow."""

from collections.abc import Callable

from advcli.backend import ArrayLike, Tensor, tf
from advcli.tracing import custom_gradient


def with_finite_gradient(pixels: ArrayLike) -> Tensor:
    """Return images unchanged, with gradients that are not finite replaced by zero."""

    @custom_gradient
    def unchanged(pixels: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        return tf.identity(pixels), lambda upstream: _where_true(tf.math.is_finite(upstream), upstream)

    return unchanged(pixels)


def clip_to_range(pixels: Tensor) -> Tensor:
    """Clip images to [0, 1]; the gradient is that of ``tf.clip_by_value``."""

    @custom_gradient
    def clipped(pixels: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        inside = tf.clip_by_value(pixels, 0.0, 1.0)
        return inside, lambda upstream: _where_true(tf.equal(inside, pixels), upstream)

    return clipped(pixels)


def _where_true(condition: Tensor, values: Tensor) -> Tensor:
    """Return the values where a condition is true, else zero, also for NaN.

    ``tf.where`` takes four to seven times as long: a twelfth of the whole gradient at 299 pixels.
    """
    return tf.math.multiply_no_nan(values, tf.cast(condition, values.dtype))
