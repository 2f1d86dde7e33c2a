"""The l0 ball inside the box [0, 1]: images that differ in a few pixels, by any amount in any of their channels.

Croce and Hein 2019, https://arxiv.org/abs/1909.05040 (projection).
"""

from advcli.backend import ArrayLike, Tensor, tf
from advcli.threat.rng import ImageRng


def count_pixels(delta: Tensor) -> Tensor:
    """Count the pixels that change: (N, H, W, C) -> (N,) float32."""
    changed = tf.reduce_any(delta != 0, axis=-1)
    return tf.reduce_sum(tf.cast(changed, tf.float32), axis=(1, 2))


def project_pixels(adversarial: Tensor, original: ArrayLike, eps: float | Tensor) -> Tensor:
    """Project onto the l0 ball inside the box: (N, H, W, C) -> (N, H, W, C).

    argmin over y of ``||y - adversarial||_2`` subject to ``||y - original||_0 <= eps`` and ``0 <= y <= 1``.
    A pixel that is kept is clipped, one that is not goes back to the original: the solution keeps those for which that
    makes the greatest difference to the squared distance.
    """
    clipped = tf.clip_by_value(adversarial, 0.0, 1.0)
    gain = tf.reduce_sum(tf.square(adversarial - original) - tf.square(adversarial - clipped), axis=-1)
    return tf.where(greatest(gain, eps)[..., None], clipped, original)


def greatest(scores: Tensor, count: float | Tensor) -> Tensor:
    """Choose the pixels with the greatest scores, the first of equal ones: (N, H, W) -> (N, H, W) bool.

    Args:
        scores: (N, H, W).
        count: how many: a scalar, or (N,).
    """
    shape = tf.shape(scores)
    flat = tf.reshape(scores, (shape[0], -1))
    numbers = tf.cast(count, tf.int32) * tf.ones(shape[:1], tf.int32)
    numbers = tf.minimum(numbers, tf.shape(flat)[1])
    most = tf.reduce_max(tf.concat([numbers, [1]], axis=0))
    # Not a threshold, which would choose more where scores are equal.
    places = tf.math.top_k(flat, most).indices
    chosen = tf.range(most)[None] < numbers[:, None]
    rows = tf.repeat(tf.range(shape[0])[:, None], most, axis=1)
    found = tf.scatter_nd(tf.stack([rows, places], axis=-1), tf.cast(chosen, tf.int32), tf.shape(flat))
    return tf.reshape(found > 0, shape)


def sample(images: Tensor, free: Tensor, eps: float | Tensor, rng: ImageRng) -> Tensor:
    """Give random pixels uniformly random values: (N, H, W, C) -> (N, H, W, C).

    Args:
        images: (N, H, W, C).
        free: (N, H, W) bool, which pixels may change.
        eps: how many pixels change.
        rng: one random stream an image.
    """
    shape = tf.shape(images)[1:]
    order = tf.where(free, rng.fold(1).uniform(shape[:2]), -1.0)
    chosen = greatest(order, eps) & free
    return tf.where(chosen[..., None], rng.uniform(shape), images)
