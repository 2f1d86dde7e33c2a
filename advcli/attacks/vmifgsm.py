"""Variance-tuned momentum FGSM: gradients corrected by the mean gradient of random neighbours.

Wang and He 2021, https://arxiv.org/abs/2103.15571
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack, _momentum
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.gradient import loss_gradient, projected_step
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class VMIFGSM(Attack):
    """Momentum steps along ``gradient + v``; v is the neighbours' mean gradient minus the gradient, at the last step.

    Args:
        steps: number of gradient steps.
        step: length of a step, in the units of eps; 0 means eps / steps.
        decay: factor of the accumulated gradient at each step.
        samples: number of neighbours.
        radius_ratio: radius of the ball around the iterate from which they are sampled, as a ratio of eps.
    """

    kind: ClassVar[str] = "transfer"
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    steps: int = 10
    step: float = 0.0
    decay: float = 1.0
    samples: int = 20
    radius_ratio: float = 1.5

    def __post_init__(self) -> None:
        _momentum.check(self.steps, self.step, self.decay)
        if self.samples < 1:
            raise UsageError(f"samples is less than one: {self.samples}", "mifgsm is the attack without them")
        if self.radius_ratio < 0:
            raise UsageError(f"radius_ratio is negative: {self.radius_ratio:g}", "give a multiple of eps")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the last iterate: (N, H, W, C), (N,) -> (N, H, W, C)."""
        length = threat.length(self.step, 1 / self.steps)
        adversarial, momentum, variance = images, tf.zeros_like(images), tf.zeros_like(images)
        for i in tf.range(self.steps):
            gradient, _ = loss_gradient(logits_fn, adversarial, labels, threat)
            momentum = _momentum.accumulate(momentum, gradient + variance, self.decay, threat)
            # Nothing asks for the variance at the last step.
            wanted = tf.where(i + 1 < self.steps, self.samples, 0)
            total = tf.zeros_like(images)
            for j in tf.range(wanted):
                offset = self.radius_ratio * threat.eps * threat.within(tf.shape(images)[1:], rng.fold(i).fold(j))
                total += loss_gradient(logits_fn, adversarial + offset, labels, threat)[0]
            variance = total / self.samples - gradient
            adversarial = projected_step(adversarial, momentum, length, images, threat)
        return adversarial


COMPONENT = VMIFGSM
