"""Gaussian noise: the same normal noise everywhere, as of a sensor read out in the dark.

Rusak, Schott, Zimmermann et al. 2020, https://arxiv.org/abs/2001.06057, on what it is good for in training
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.augmentations import Augmentation, _chance
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng


@dataclass(frozen=True)
class Gaussian(Augmentation):
    """``x + std * n`` with n standard normal, drawn for each pixel and channel.

    Args:
        std: standard deviation, in units of [0, 1].
        probability: the chance of an image to be made noisy; the others teach the network what is clean.
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
        return images + self.std * _chance.drawn(rng, self.probability) * noise


COMPONENT = Gaussian
