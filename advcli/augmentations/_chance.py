"""A change that only some images get."""

from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng


def check(probability: float) -> None:
    """Refuse what is no probability.

    Raises:
        UsageError: it is outside [0, 1].
    """
    if not 0 <= probability <= 1:
        raise UsageError(f"probability is a part of 1, not {probability:g}")


def drawn(rng: ImageRng, probability: float) -> Tensor:
    """Draw which images are changed: -> (N, 1, 1, 1) of 1.0 and 0.0."""
    lucky = rng.named("chance").scalars(1) < probability
    return tf.cast(lucky, tf.float32)[:, :, None, None]


def sometimes(rng: ImageRng, probability: float, images: Tensor, changed: Tensor) -> Tensor:
    """Change some of the images: (N, H, W, C), (N, H, W, C) -> (N, H, W, C)."""
    return changed if probability == 1 else tf.where(drawn(rng, probability) > 0, changed, images)
