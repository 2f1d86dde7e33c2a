"""What decision-based attacks share: the decision, an adversarial image to start from, the estimate of the normal."""

from collections.abc import Callable

from advcli.attacks._rounds import by_image, pick_images
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat

# Attempts to find misclassified noise.
TRIES = 100

# (N, H, W, C) -> (N,) bool: which points are adversarial.
Decision = Callable[[Tensor], Tensor]


def refuse_few_queries(queries: int, eot: int) -> None:
    """Refuse a number of queries that is too small for a start and a first step.

    Raises:
        UsageError: it is too small, or ``eot`` is less than one.
    """
    if eot < 1:
        raise UsageError(f"eot is less than one: {eot}")
    least = eot * (TRIES + 100)
    if queries < least:
        raise UsageError(f"queries is too small to find a start: {queries}", f"give at least {least}")


def decide(logits_fn: Callable[[Tensor], Tensor], labels: Tensor, threat: Threat, passes: int) -> Decision:
    """Return the decision of the majority of several passes; a tie is not adversarial."""

    def is_adversarial(points: Tensor) -> Tensor:
        votes = tf.cast(threat.is_adversarial(logits_fn(points), labels), tf.int32)
        for _ in tf.range(passes - 1):
            votes += tf.cast(threat.is_adversarial(logits_fn(points), labels), tf.int32)
        return 2 * votes > passes

    return is_adversarial


def decisions_for_start(start: Tensor | None) -> int:
    """Return how many decisions ``find_start`` takes at most."""
    return 1 + (TRIES if start is None else 1)


def find_start(
    is_adversarial: Decision, images: Tensor, start: Tensor | None, threat: Threat, rng: ImageRng
) -> tuple[Tensor, Tensor]:
    """Return adversarial points and which of them are adversarial: (N, H, W, C), and (N,) bool.

    Args:
        is_adversarial: the decision.
        images: the originals; one that is adversarial itself is its own start.
        start: the points to start from; None means misclassified noise, which is searched for.
        threat: which pixels may change.
        rng: one random stream an image.
    """
    already = is_adversarial(images)
    if start is None:
        return _misclassified_noise(is_adversarial, images, already, threat, rng)
    start = threat.restore(start, images)
    found = is_adversarial(start)
    return pick_images(already, images, start), already | found


def _misclassified_noise(
    is_adversarial: Decision, images: Tensor, already: Tensor, threat: Threat, rng: ImageRng
) -> tuple[Tensor, Tensor]:
    """Search for misclassified noise: -> (N, H, W, C), and (N,) bool, where it was found.

    Every other attempt is black and white instead of grey, in blocks of 1, 2, 4 or 8 pixels: many networks assign
    fine grey noise to a single class.
    """
    start, found = images, already
    height, width, channels = tf.unstack(tf.shape(images)[1:])
    for i in tf.range(TRIES):
        if tf.reduce_all(found):
            break
        grain = 2 ** (i // 2 % 4)
        grains = rng.fold(-1 - i).uniform([-(-height // grain), -(-width // grain), channels])
        noise = tf.repeat(tf.repeat(grains, grain, axis=1), grain, axis=2)[:, :height, :width]
        noise = tf.ensure_shape(tf.where(i % 2 == 0, noise, tf.round(noise)), images.shape)
        noise = threat.restore(noise, images)
        fresh = ~found & is_adversarial(noise)
        start = pick_images(fresh, noise, start)
        found |= fresh
    return start, found


def estimate_normal(
    is_adversarial: Decision, point: Tensor, reach: float | Tensor, samples: Tensor, noise: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return ``sum (phi - mean(phi)) u`` over neighbours ``point + reach * u``; phi is 1 if adversarial, else -1.

    The mean is subtracted to reduce the variance, and because neighbours are clipped to [0, 1]: where pixels are black
    or white, most neighbours are on one side of the boundary.

    Args:
        is_adversarial: the decision.
        point: (N, H, W, C) points on the boundary.
        reach: a length that broadcasts with the points.
        samples: the number of neighbours.
        noise: the number of a neighbour -> (N, H, W, C), u before it is clipped.
    """
    ways, votes, share = tf.zeros_like(point), tf.zeros_like(point), tf.zeros(tf.shape(point)[:1])
    for i in tf.range(samples):
        neighbour = tf.clip_by_value(point + reach * noise(i), 0.0, 1.0)
        way = tf.math.divide_no_nan(neighbour - point, reach)
        vote = tf.where(is_adversarial(neighbour), 1.0, -1.0)
        ways += way
        votes += by_image(vote) * way
        share += vote / tf.cast(samples, tf.float32)
    # Where all agree there is no contrast to see, and their mean is all there is.
    agreed = tf.abs(share) > 1 - 1e-4
    return votes - by_image(tf.where(agreed, 0.0, share)) * ways
