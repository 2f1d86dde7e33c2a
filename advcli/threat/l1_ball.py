"""The l1 ball inside the box [0, 1]: projection, sparse steepest-ascent steps, sampling.

Croce and Hein 2021, https://arxiv.org/abs/2103.01208 (projection); Tramèr and Boneh 2019,
https://arxiv.org/abs/1904.13000 (sparse steps).
"""

from advcli.backend import ArrayLike, Tensor, tf
from advcli.threat.rng import ImageRng


def project(adversarial: Tensor, original: ArrayLike, eps: float | Tensor) -> Tensor:
    """Project onto the l1 ball inside the box: (N, H, W, C) -> (N, H, W, C).

    argmin over y of ``||y - adversarial||_2`` subject to ``||y - original||_1 <= eps`` and ``0 <= y <= 1``.
    The solution is ``original + sign(u) * clip(|u| - s, 0, room)`` with ``u = adversarial - original``, ``room`` the
    distance of each pixel to 0 or 1 in the direction of u, and the least ``s >= 0`` that satisfies the constraint.
    Projecting onto the ball and the box in turn would end inside the ball, not on its surface.
    """
    shape = tf.shape(adversarial)
    flat, centre = (tf.reshape(tensor, (shape[0], -1)) for tensor in (adversarial, original))
    # Thousands of float32 rounding errors sum to more than the tolerance of the radius.
    wide = tf.cast(centre, tf.float64)
    delta = tf.cast(flat, tf.float64) - wide
    size = tf.abs(delta)
    room = tf.where(delta > 0, 1 - wide, wide)
    shrink = _shrink(size, room, tf.cast(eps, tf.float64) if tf.is_tensor(eps) else eps)
    kept = tf.clip_by_value(size - shrink, tf.zeros_like(room), room)
    moved = tf.cast(wide + tf.sign(delta) * kept, tf.float32)
    # Round towards the centre, or the result may lie outside the ball.
    moved = tf.where(tf.abs(tf.cast(moved, tf.float64) - wide) > kept, tf.math.nextafter(moved, centre), moved)
    return tf.reshape(tf.where(kept == size, flat, moved), shape)


def sparse_step(gradient: Tensor, share: Tensor | float, least: int = 1) -> Tensor:
    """Return the signs of the coordinates with the greatest absolute gradient, scaled to an l1 norm of one.

    Args:
        gradient: (N, H, W, C); coordinates with a zero gradient do not change.
        share: the fraction of the coordinates to change: a scalar, or (N,).
        least: the minimum number of coordinates to change.
    """
    shape = tf.shape(gradient)
    size = tf.reshape(tf.abs(gradient), (shape[0], -1))
    coordinates = tf.shape(size)[1]
    count = tf.cast(tf.math.ceil(share * tf.ones(shape[:1]) * tf.cast(coordinates, tf.float32)), tf.int32)
    count = tf.minimum(tf.maximum(count, least), coordinates)
    greatest = tf.math.top_k(size, tf.reduce_max(tf.concat([count, [1]], axis=0))).values
    threshold = tf.gather(greatest, count - 1, axis=1, batch_dims=1)[:, None, None, None]
    signs = tf.where(tf.abs(gradient) >= threshold, tf.sign(gradient), 0.0)
    return tf.math.divide_no_nan(signs, tf.reduce_sum(tf.abs(signs), axis=(1, 2, 3), keepdims=True))


def sample_surface(shape: Tensor, rng: ImageRng) -> Tensor:
    """Sample points uniformly from the surface of the unit l1 ball: the shape of one image -> (N, *shape)."""
    # Exponential variables divided by their sum are uniform on the simplex.
    lengths = -tf.math.log1p(-rng.uniform(shape))
    signs = tf.where(rng.fold(2).uniform(shape) < 0.5, -1.0, 1.0)
    return signs * tf.math.divide_no_nan(lengths, tf.reduce_sum(lengths, axis=(1, 2, 3), keepdims=True))


def _shrink(size: Tensor, room: Tensor, eps: float | Tensor) -> Tensor:
    """Return the least s >= 0 for which ``sum(clip(size - s, 0, room)) <= eps``: (N, D), (N, D) -> (N, 1).

    The sum is decreasing and piecewise linear in s, with two knots for each coordinate: ``size - room`` and ``size``.
    The last knot at which the sum exceeds eps is the start of the linear piece that contains the solution.
    """
    length = tf.reduce_sum(tf.minimum(size, room), axis=1, keepdims=True)
    # Only non-zero coordinates have knots: most points are sparse, so that sorting is cheap.
    moved = tf.reduce_max(tf.concat([[1], tf.reduce_sum(tf.cast(size > 0, tf.int32), axis=1)], axis=0))
    size, index = tf.math.top_k(size, moved)
    room = tf.gather(room, index, axis=1, batch_dims=1)
    begins, ends = tf.maximum(size - room, 0.0), size
    knots = tf.concat([begins, ends], axis=1)
    order = tf.argsort(knots, axis=1)
    knots = tf.gather(knots, order, axis=1, batch_dims=1)
    shrinking = tf.cumsum(tf.where(order < moved, tf.ones_like(knots), -tf.ones_like(knots)), axis=1)
    fallen = tf.cumsum(shrinking[:, :-1] * (knots[:, 1:] - knots[:, :-1]), axis=1)
    too_long = tf.reduce_sum(tf.cast(length - fallen > eps, tf.int32), axis=1)
    last = tf.gather(knots, too_long, axis=1, batch_dims=1)[:, None]
    # Recompute the sums of this piece, without the rounding errors of the cumulative sums.
    falls, full = (begins <= last) & (ends > last), begins > last
    count = tf.reduce_sum(tf.cast(falls, tf.float64), axis=1, keepdims=True)
    longest = tf.reduce_sum(tf.where(falls, size, tf.where(full, room, 0.0)), axis=1, keepdims=True)
    found = tf.where(count > 0, tf.math.divide_no_nan(longest - eps, count), last)
    # A point on the surface may be outside of it by a rounding error.
    return tf.where(length > eps * (1 + 1e-12), tf.maximum(found, last), 0.0)
