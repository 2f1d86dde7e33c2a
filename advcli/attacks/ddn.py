"""Decoupled direction and norm: l2 steps on a sphere that shrinks while the image is adversarial.

Rony, Hafemann, Oliveira, Ben Ayed, Sabourin and Granger 2019, https://arxiv.org/abs/1811.09600
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack
from advcli.attacks._boundary import refined
from advcli.attacks._minimal import annealed, euclidean, nothing_yet
from advcli.attacks._rounds import by_image
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.gradient import loss_gradient
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class DDN(Attack):
    """Project each iterate onto a sphere around the image, which shrinks if the iterate was adversarial and else grows.

    Args:
        steps: number of gradient steps.
        gamma: relative change of the radius at each step: ``radius * (1 - gamma)`` or ``radius * (1 + gamma)``.
        radius: the first radius, in the units of eps: l2 of pixel values in [0, 1].
        refine: number of FAB steps towards each of the nine likeliest other classes after the search, which ends in a
        local minimum; 0 means the paper's search alone.
    """

    kind: ClassVar[str] = "minimum-norm"
    norms: ClassVar[tuple[str, ...]] = ("l2",)
    lengths: ClassVar[tuple[str, ...]] = ("radius",)

    steps: int = 300
    gamma: float = 0.05
    radius: float = 1.0
    refine: int = 100

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps is less than one: {self.steps}")
        if not 0 < self.gamma < 1:
            raise UsageError(f"gamma is not between 0 and 1: {self.gamma:g}")
        if self.radius <= 0:
            raise UsageError(f"radius is not positive: {self.radius:g}")
        if self.refine < 0:
            raise UsageError(f"refine is negative: {self.refine}", "give 0 for the paper's search alone")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the nearest adversarial image found, projected onto the ball: (N, H, W, C), (N,) -> (N, H, W, C)."""
        point, delta, best = images, tf.zeros_like(images), nothing_yet(images)
        radius = tf.fill(tf.shape(labels), self.radius)
        for i in tf.range(self.steps):
            gradient, logits = loss_gradient(logits_fn, point, labels, threat)
            is_adversarial = threat.is_adversarial(logits, labels)
            best = best.updated(point, is_adversarial, images, threat)
            # The paper's step goes from 1 to 0.01 along a cosine.
            delta += annealed(1.0, 0.01, i, self.steps) * threat.steepest(gradient)
            radius *= tf.where(is_adversarial, 1 - self.gamma, 1 + self.gamma)
            delta *= by_image(tf.math.divide_no_nan(radius, euclidean(delta)))
            point = tf.clip_by_value(images + delta, 0.0, 1.0)
            delta = point - images
        best = best.updated(point, threat.is_adversarial(logits_fn(point), labels), images, threat)
        best = refined(best, logits_fn, images, labels, threat, rng, self.refine)
        return best.within(images, threat, otherwise=point)


COMPONENT = DDN
