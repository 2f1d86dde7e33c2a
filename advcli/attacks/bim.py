"""Basic iterative method: small steps along the gradient's sign, starting at the image.

Kurakin, Goodfellow and Bengio 2017, https://arxiv.org/abs/1607.02533
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack, _momentum
from advcli.backend import Tensor
from advcli.threat.gradient import loss_gradient
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class BIM(Attack):
    """``x <- project(x + step * sign(gradient))`` for linf; steepest-ascent steps on the loss for other norms.

    Args:
        steps: number of gradient steps.
        step: length of a step, in the units of eps; 0 means 1.25 eps / steps, the paper's choice.
    """

    kind: ClassVar[str] = "gradient"
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    steps: int = 10
    step: float = 0.0

    def __post_init__(self) -> None:
        _momentum.check(self.steps, self.step)

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the last iterate: (N, H, W, C), (N,) -> (N, H, W, C)."""
        pace = _momentum.Pace(self.steps, threat.length(self.step, 1.25 / self.steps), decay=0.0)
        return _momentum.climb(lambda at, *_: loss_gradient(logits_fn, at, labels, threat)[0], images, threat, pace)


COMPONENT = BIM
