"""Salt and pepper: a few values, each channel of a pixel for itself, become 1 or 0."""

from dataclasses import dataclass
from typing import ClassVar

from advcli.augmentations import Augmentation, _chance
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng


@dataclass(frozen=True)
class SaltPepper(Augmentation):
    """Each value is lost with the chance ``amount``, and is then white with the chance ``salt``, else black.

    Args:
        amount: the part of the values that are lost.
        salt: the part of those that become 1.
        probability: the chance of an image to be made noisy; the others teach the network what is clean.
    """

    stage: ClassVar[str] = "noise"
    covers: ClassVar[tuple[str, ...]] = ("impulse-noise",)

    amount: float = 0.05
    salt: float = 0.5
    probability: float = 0.5

    def __post_init__(self) -> None:
        for name, value in (("amount", self.amount), ("salt", self.salt)):
            if not 0 <= value <= 1:
                raise UsageError(f"{name} is a part of 1, not {value:g}")
        _chance.check(self.probability)

    def __call__(self, images: Tensor, rng: ImageRng) -> Tensor:
        """Lose values: (N, H, W, C) -> (N, H, W, C)."""
        amount = self.amount * _chance.drawn(rng, self.probability)
        where = rng.uniform(tf.shape(images)[1:])
        return tf.where(where < amount, tf.cast(where < self.salt * amount, tf.float32), images)


COMPONENT = SaltPepper
