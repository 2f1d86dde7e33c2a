"""AugMix: chains of simple image operations, mixed with each other and with the image.

Hendrycks, Mu, Cubuk, Zoph, Gilmer and Lakshminarayanan 2020, https://arxiv.org/abs/1912.02781
"""

from advcli.backend import Tensor, tf
from advcli.data.image_operations import OPERATIONS, operated
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng, dirichlet


def refuse_bad_mixtures(width: int, depth: int, severity: int) -> None:
    """Refuse options of a mixture that mean nothing.

    Raises:
        UsageError: one of them does.
    """
    if width < 1:
        raise UsageError(f"width is less than one: {width}")
    if depth < 0:
        raise UsageError(f"depth is negative: {depth}", "give 0 for a random depth from one to three")
    if not 1 <= severity <= 10:
        raise UsageError(f"severity is between 1 and 10, not {severity}")


def mixtures(images: Tensor, rng: ImageRng, *, versions: int, width: int, depth: int, severity: float) -> Tensor:
    """Return mixtures of each image: (N, H, W, C) in [0, 1] -> (N, versions, H, W, C) in [0, 1].

    Args:
        images: the images.
        rng: one random stream an image.
        versions: number of mixtures of each image.
        width: number of chains in a mixture.
        depth: number of operations in a chain; 0 means random, from one to three.
        severity: the strength of an operation is uniform in [0.1, severity]; 10 is the greatest strength.
    """
    links = depth or 3
    shape = tf.shape(images)
    chances = rng.named("operations").scalars(versions * width * links * 3)
    operations, strengths, signs = tf.unstack(tf.reshape(chances, [-1, links, 3]), axis=2)
    operations = tf.cast(operations * len(OPERATIONS), tf.int32)
    strengths = 0.1 + (severity - 0.1) * strengths
    signs = tf.where(signs < 0.5, -1.0, 1.0)
    lengths = tf.reshape(rng.named("lengths").scalars(versions * width), [-1]) * links
    lengths = tf.fill(tf.shape(lengths), links) if depth else 1 + tf.cast(lengths, tf.int32)
    chains = tf.repeat(images, versions * width, axis=0)
    for link in range(links):
        chosen = tf.where(link < lengths, operations[:, link], len(OPERATIONS))
        chains = operated(chains, chosen, strengths[:, link], signs[:, link])
    chains = tf.reshape(chains, tf.concat([[-1, versions, width], shape[1:]], axis=0))
    weights = dirichlet(tf.reshape(rng.named("weights").scalars(versions * width), [-1, versions, width]))
    mixed = sum(weights[:, :, i, None, None, None] * chains[:, :, i] for i in range(width))
    share = rng.named("share").scalars(versions)[:, :, None, None, None]
    results = (1 - share) * images[:, None] + share * mixed
    return tf.ensure_shape(tf.clip_by_value(results, 0.0, 1.0), [None, versions, *images.shape[1:]])
