"""Choices of pixels in an l0 ball: by what a pixel gains to first order, and how few of them are enough."""

from collections.abc import Callable

from advcli.attacks._rounds import pick_images
from advcli.backend import Tensor, tf
from advcli.threat import l0_ball


def best_values(gradient: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values in [0, 1] that raise a linear function most, and what each pixel gains by them.

    Args:
        gradient: (N, H, W, C), of the function.
        images: (N, H, W, C).

    Returns:
        (N, H, W, C) 0 or 1, or the image's own value where the gradient is zero; (N, H, W) at least 0.
    """
    values = tf.where(gradient > 0, 1.0, tf.where(gradient < 0, 0.0, images))
    return values, tf.reduce_sum(gradient * (values - images), axis=-1)


def put(images: Tensor, values: Tensor, order: Tensor, count: float | Tensor) -> Tensor:
    """Give the pixels of the greatest scores other values: (N, H, W, C), (N, H, W, C), (N, H, W) -> (N, H, W, C)."""
    chosen = l0_ball.greatest(order, count) & (order > 0)
    return tf.where(chosen[..., None], values, images)


def fewest(
    is_adversarial: Callable[[Tensor], Tensor], images: Tensor, values: Tensor, order: Tensor, most: Tensor
) -> tuple[Tensor, Tensor]:
    """Bisect for the least number of pixels, in the order of their scores, whose new values fool: -> images, (N,) bool.

    Args:
        is_adversarial: (N, H, W, C) -> (N,) bool.
        images: (N, H, W, C).
        values: (N, H, W, C), the new values.
        order: (N, H, W), the scores.
        most: (N,) int32, the numbers to begin with; what they give is not taken for adversarial without a look.

    Returns:
        The images of the least number found, and which of them are adversarial.
    """
    low, high = tf.zeros_like(most), most
    found = put(images, values, order, most)
    is_found = is_adversarial(found)
    while tf.reduce_any(high - low > 1):
        middle = (low + high) // 2
        candidate = put(images, values, order, middle)
        reached = is_adversarial(candidate) & (high - low > 1)
        found = pick_images(reached, candidate, found)
        is_found |= reached
        low, high = tf.where(reached, low, middle), tf.where(reached, middle, high)
    return found, is_found


def exchange(points: Tensor, images: Tensor, gradient: Tensor, eps: float, count: Tensor, barred: Tensor) -> Tensor:
    """Set back the changed pixels that gain least to first order, and change those that would gain most.

    Args:
        points: (N, H, W, C), in the ball.
        images: (N, H, W, C), its centres.
        gradient: (N, H, W, C), of the loss at the points.
        eps: how many pixels may change; those that are left over are changed, too.
        count: (N,) int32, how many are set back.
        barred: (N, H, W) bool, pixels that are not changed anew.
    """
    values, gain = best_values(gradient, images)
    moved = tf.reduce_any(points != images, axis=-1)
    own = tf.reduce_sum(gradient * (points - images), axis=-1)
    back = l0_ball.greatest(tf.where(moved, -own, -float("inf")), count) & moved
    free = int(eps) - tf.reduce_sum(tf.cast(moved & ~back, tf.int32), axis=(1, 2))
    allowed = ~moved & ~barred & (gain > 0)
    fresh = l0_ball.greatest(tf.where(allowed, gain, -1.0), free) & allowed
    return tf.where(fresh[..., None], values, tf.where(back[..., None], images, points))
