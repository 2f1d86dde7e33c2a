"""Salt-and-pepper noise: random values, independent for each pixel and channel, become 1 or 0."""

from dataclasses import dataclass
from typing import ClassVar

from advcli.augmentations import Augmentation, _chance
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng


@dataclass(frozen=True)
class SaltPepper(Augmentation):
    """Replace each value with the probability ``amount``: by 1 with the probability ``salt``, else by 0.

    Args:
        amount: the probability that a value is replaced.
        salt: the probability that a replaced value becomes 1.
        probability: the probability that an image gets noise; the others stay clean, to preserve clean accuracy.
    """

    stage: ClassVar[str] = "noise"
    covers: ClassVar[tuple[str, ...]] = ("impulse-noise",)

    amount: float = 0.05
    salt: float = 0.5
    probability: float = 0.5

    def __post_init__(self) -> None:
        for name, value in (("amount", self.amount), ("salt", self.salt)):
            if not 0 <= value <= 1:
                raise UsageError(f"{name} is not between 0 and 1: {value:g}")
        _chance.check(self.probability)

    def __call__(self, images: Tensor, rng: ImageRng) -> Tensor:
        """Add noise: (N, H, W, C) -> (N, H, W, C)."""
        amount = self.amount * _chance.bernoulli(rng, self.probability)
        where = rng.uniform(tf.shape(images)[1:])
        return tf.where(where < amount, tf.cast(where < self.salt * amount, tf.float32), images)


COMPONENT = SaltPepper
