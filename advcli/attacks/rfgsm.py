"""Random-start FGSM: a random step inside the ball, then a step along the gradient's sign.

Tramer, Kurakin, Papernot, Goodfellow, Boneh and McDaniel 2018, https://arxiv.org/abs/1705.07204
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.gradient import loss_gradient, projected_step
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class RFGSM(Attack):
    """``x' = x + alpha * sign(noise)``, then ``x' + (eps - alpha) * sign(gradient at x')`` (R+FGSM).

    Args:
        start_ratio: length of the random step (the paper's alpha) as a ratio of eps; 0 is fgsm.
    """

    kind: ClassVar[str] = "gradient"

    start_ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.start_ratio < 1:
            raise UsageError(f"start_ratio is not a fraction: {self.start_ratio:g}", "give a number from 0 up, below 1")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the image after both steps: (N, H, W, C), (N,) -> (N, H, W, C)."""
        noise = threat.steepest(rng.normal(tf.shape(images)[1:]))
        begun = threat.project(images + self.start_ratio * threat.eps * noise, images)
        gradient, _ = loss_gradient(logits_fn, begun, labels, threat)
        return projected_step(begun, gradient, (1 - self.start_ratio) * threat.eps, images, threat)


COMPONENT = RFGSM
