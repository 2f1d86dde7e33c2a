"""Nesterov iterative FGSM: momentum steps with the gradient taken at the look-ahead point.

Lin, Song, He, Wang and Hopcroft 2020, https://arxiv.org/abs/1908.06281
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
class NIFGSM(Attack):
    """Momentum steps with the gradient at the look-ahead point ``x + length * decay * g``.

    As in the authors' code, ``g`` accumulates gradients divided by their mean absolute value. With the L1 norm of the
    paper's formula the look-ahead would be too short to have an effect.

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

        def gradient(at: Tensor, momentum: Tensor, _: Tensor) -> Tensor:
            return loss_gradient(logits_fn, at + pace.length * pace.decay * momentum, labels, threat)[0]

        return _momentum.climb(gradient, images, threat, pace)


COMPONENT = NIFGSM
