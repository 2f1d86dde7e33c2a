"""Momentum iterative FGSM: steps along a decaying sum of the gradients, for better transfer.

Dong, Liao, Pang, Su, Zhu, Hu and Li 2018, https://arxiv.org/abs/1710.06081
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
class MIFGSM(Attack):
    """Steepest-ascent steps along ``g <- decay * g + gradient / ||gradient||_1``.

    Args:
        steps: number of gradient steps.
        step: length of a step, in the units of eps; 0 means eps / steps.
        decay: factor of the accumulated gradient at each step.
    """

    kind: ClassVar[str] = "transfer"
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    steps: int = 10
    step: float = 0.0
    decay: float = 1.0

    def __post_init__(self) -> None:
        _momentum.check(self.steps, self.step, self.decay)

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the last iterate: (N, H, W, C), (N,) -> (N, H, W, C)."""
        pace = _momentum.Pace(self.steps, threat.length(self.step, 1 / self.steps), self.decay)
        return _momentum.climb(lambda at, *_: loss_gradient(logits_fn, at, labels, threat)[0], images, threat, pace)


COMPONENT = MIFGSM
