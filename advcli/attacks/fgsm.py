"""Fast gradient sign method: one step of length eps along the gradient's sign.

Goodfellow, Shlens and Szegedy 2015, https://arxiv.org/abs/1412.6572
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack
from advcli.backend import Tensor
from advcli.threat.gradient import loss_gradient, projected_step
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat
from advcli.tracing import as_written


@as_written
@dataclass(frozen=True)
class FGSM(Attack):
    """One step of length eps in the direction of steepest ascent: ``x + eps * sign(gradient)`` for linf."""

    kind: ClassVar[str] = "gradient"

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the image after the step: (N, H, W, C), (N,) -> (N, H, W, C)."""
        gradient, _ = loss_gradient(logits_fn, images, labels, threat)
        return self.along(gradient, images, threat)

    def along(self, gradient: Tensor, images: Tensor, threat: Threat) -> Tensor:
        """Take the step along a gradient that is known already: (N, H, W, C) -> (N, H, W, C)."""
        return projected_step(images, gradient, threat.eps, images, threat)


COMPONENT = FGSM
