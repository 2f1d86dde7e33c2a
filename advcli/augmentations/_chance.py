"""Apply a change to a random subset of images."""

from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng


def check(probability: float) -> None:
    """Refuse a value that is not a probability.

    Raises:
        UsageError: it is outside [0, 1].
    """
    if not 0 <= probability <= 1:
        raise UsageError(f"probability is not between 0 and 1: {probability:g}")


def bernoulli(rng: ImageRng, probability: float) -> Tensor:
    """Sample which images are changed: -> (N, 1, 1, 1), 1.0 with the probability, else 0.0."""
    lucky = rng.named("chance").scalars(1) < probability
    return tf.cast(lucky, tf.float32)[:, :, None, None]


def sometimes(rng: ImageRng, probability: float, images: Tensor, changed: Tensor) -> Tensor:
    """Return each changed image with the probability, else the image: (N, H, W, C), (N, H, W, C) -> (N, H, W, C)."""
    return changed if probability == 1 else tf.where(bernoulli(rng, probability) > 0, changed, images)
