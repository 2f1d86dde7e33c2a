"""Gaussian noise: independent normal noise on each value, like the read-out noise of a sensor.

Rusak, Schott, Zimmermann et al. 2020, https://arxiv.org/abs/2001.06057, on its effect in training
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.augmentations import Augmentation, _chance
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng


@dataclass(frozen=True)
class Gaussian(Augmentation):
    """``x + std * n``, n standard normal and independent for each pixel and channel.

    Args:
        std: standard deviation, in units of [0, 1].
        probability: the probability that an image gets noise; the others stay clean, to preserve clean accuracy.
    """

    stage: ClassVar[str] = "noise"
    covers: ClassVar[tuple[str, ...]] = ("gaussian-noise",)

    std: float = 0.1
    probability: float = 0.5

    def __post_init__(self) -> None:
        if self.std < 0:
            raise UsageError(f"std is negative: {self.std:g}")
        _chance.check(self.probability)

    def __call__(self, images: Tensor, rng: ImageRng) -> Tensor:
        """Add noise: (N, H, W, C) -> (N, H, W, C)."""
        noise = rng.normal(tf.shape(images)[1:])
        return images + self.std * _chance.bernoulli(rng, self.probability) * noise


COMPONENT = Gaussian
