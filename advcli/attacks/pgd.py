"""Projected gradient descent: many small steps, each brought back into the ball.

Madry, Makelov, Schmidt, Tsipras and Vladu 2018, https://arxiv.org/abs/1706.06083
"""

from collections.abc import Callable
from dataclasses import dataclass

from advcli.attacks import ascent
from advcli.backend import Tensor, tf
from advcli.draws import Draws
from advcli.errors import UsageError
from advcli.threat import Threat


@dataclass(frozen=True)
class PGD:
    """Steepest-ascent steps on the loss, each projected back into the ball.

    Args:
        steps: number of gradient steps.
        step: length of a step as a fraction of eps; 0 means 2.5 / steps.
        random_start: begin at a random point of the ball, not at the image.
    """

    steps: int = 20
    step: float = 0.0
    random_start: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps is less than one: {self.steps}")
        if self.step < 0:
            raise UsageError(f"step is negative: {self.step:g}")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, draws: Draws
    ) -> Tensor:
        """Search from one start: (N, H, W, C), (N,) -> (N, H, W, C), the last point."""
        length = threat.eps * (self.step or 2.5 / self.steps)
        adversarial = threat.sample(images, draws) if self.random_start else images
        for _ in tf.range(self.steps):
            gradient, _ = ascent(logits_fn, adversarial, labels, threat)
            adversarial = threat.project(adversarial + length * threat.steepest(gradient), images)
        return adversarial


COMPONENT = PGD
