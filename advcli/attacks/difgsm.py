"""Diverse inputs FGSM: momentum steps along gradients of randomly resized and padded images.

Xie, Zhang, Zhou, Bai, Wang, Ren and Yuille 2019, https://arxiv.org/abs/1803.06978
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack, _momentum
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.gradient import loss_gradient
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class DIFGSM(Attack):
    """Momentum steps with the gradient taken through random downscaling and padding (M-DI2-FGSM).

    The paper enlarges 299 pixels to at most 330. A network with a fixed input size requires downscaling by that ratio
    instead.

    Args:
        steps: number of gradient steps.
        step: length of a step, in the units of eps; 0 means eps / steps.
        decay: factor of the accumulated gradient at each step.
        probability: the probability that an image is transformed, at each step.
        smallest: smallest size of the downscaled image, as a fraction of the image size.
    """

    kind: ClassVar[str] = "transfer"
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    steps: int = 10
    step: float = 0.0
    decay: float = 1.0
    probability: float = 0.5
    smallest: float = 299 / 330

    def __post_init__(self) -> None:
        _momentum.check(self.steps, self.step, self.decay)
        if not 0 <= self.probability <= 1:
            raise UsageError(f"probability is not between 0 and 1: {self.probability:g}")
        if not 0 < self.smallest <= 1:
            raise UsageError(f"smallest is not a fraction of the image: {self.smallest:g}", "give 0.9, for example")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the last iterate: (N, H, W, C), (N,) -> (N, H, W, C)."""
        pace = _momentum.Pace(self.steps, threat.length(self.step, 1 / self.steps), self.decay)

        def gradient(at: Tensor, _: Tensor, i: Tensor) -> Tensor:
            own = rng.fold(i)
            return loss_gradient(lambda pixels: logits_fn(self.diversify(pixels, own)), at, labels, threat)[0]

        return _momentum.climb(gradient, images, threat, pace)

    def diversify(self, images: Tensor, rng: ImageRng) -> Tensor:
        """Downscale random images and pad them with black at a random position: (N, H, W, C) -> (N, H, W, C)."""
        chosen, size, *place = tf.unstack(rng.uniform([4, 1]), axis=1)
        shrunk = images
        for axis, offset in enumerate(place, start=1):
            shrunk = self._shrink(shrunk, axis, size, offset)
        return tf.where((chosen < self.probability)[:, :, None, None], shrunk, images)

    def _shrink(self, images: Tensor, axis: int, size: Tensor, offset: Tensor) -> Tensor:
        """Downscale and pad along one axis, nearest neighbour: (N, H, W, C), (N, 1), (N, 1) -> (N, H, W, C)."""
        edge = tf.shape(images)[axis]
        whole = tf.cast(edge, tf.float32)
        small = tf.round(whole * (self.smallest + (1 - self.smallest) * size))
        start = tf.floor(offset * (whole - small + 1))
        within = tf.range(whole)[None] - start
        index = tf.cast((within + 0.5) * whole / small, tf.int32)
        rows = tf.gather(images, tf.clip_by_value(index, 0, edge - 1), axis=axis, batch_dims=1)
        seen = tf.cast((within >= 0) & (within < small), tf.float32)
        return tf.ensure_shape(rows * tf.expand_dims(seen[:, :, None], 3 - axis), images.shape)


COMPONENT = DIFGSM
