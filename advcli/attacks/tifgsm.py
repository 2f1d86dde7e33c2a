"""Translation-invariant FGSM: momentum steps along gradients smoothed by a Gaussian kernel.

Dong, Pang, Su and Zhu 2019, https://arxiv.org/abs/1904.02884
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from advcli.attacks import Attack, _momentum
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.gradient import loss_gradient
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class TIFGSM(Attack):
    """Momentum steps with each gradient convolved with a kernel (TI-MI-FGSM; decay=0 is TI-BIM).

    Args:
        steps: number of gradient steps.
        step: length of a step, in the units of eps; 0 means eps / steps.
        decay: factor of the accumulated gradient at each step.
        kernel: side of the kernel in pixels, odd; 1 means no smoothing.
        deviations: half width of the kernel in standard deviations, as in the authors' code.
    """

    kind: ClassVar[str] = "transfer"
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    steps: int = 10
    step: float = 0.0
    decay: float = 1.0
    kernel: int = 15
    deviations: float = 3.0

    def __post_init__(self) -> None:
        _momentum.check(self.steps, self.step, self.decay)
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise UsageError(f"kernel is not an odd number of pixels: {self.kernel}", "give 7 or 15, for example")
        if self.deviations <= 0:
            raise UsageError(f"deviations is not positive: {self.deviations:g}")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the last iterate: (N, H, W, C), (N,) -> (N, H, W, C)."""
        pace = _momentum.Pace(self.steps, threat.length(self.step, 1 / self.steps), self.decay)

        # What surrounds a mask counts in the means at its border.
        unmasked = replace(threat, mask=None)

        def gradient(at: Tensor, *_: Tensor) -> Tensor:
            return threat.restrict(self.smooth(loss_gradient(logits_fn, at, labels, unmasked)[0]))

        return _momentum.climb(gradient, images, threat, pace)

    def weights(self) -> Tensor:
        """Return the weights along one axis, with sum one: -> (kernel,)."""
        place = tf.linspace(-self.deviations, self.deviations, self.kernel) if self.kernel > 1 else tf.zeros([1])
        return tf.nn.softmax(-tf.square(tf.cast(place, tf.float32)) / 2)

    def smooth(self, gradient: Tensor) -> Tensor:
        """Convolve with the kernel, with zero padding: (N, H, W, C) -> (N, H, W, C)."""
        channels = gradient.shape[-1]
        for shape in ((self.kernel, 1, 1, 1), (1, self.kernel, 1, 1)):
            kernel = tf.tile(tf.reshape(self.weights(), shape), (1, 1, channels, 1))
            gradient = tf.nn.depthwise_conv2d(gradient, kernel, (1, 1, 1, 1), "SAME")
        return gradient


COMPONENT = TIFGSM
