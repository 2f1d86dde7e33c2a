"""Fast minimum-norm attack: gradient steps in a ball whose radius follows the distance to the boundary.

Pintor, Roli, Brendel and Biggio 2021, https://arxiv.org/abs/2102.12827
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack
from advcli.attacks._boundary import refined
from advcli.attacks._minimal import Smallest, annealed, dual_size, euclidean, margin, nothing_yet, uphill
from advcli.attacks._rounds import by_image
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.gradient import gradient_and_aux
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Norm, Threat


@dataclass(frozen=True)
class FMN(Attack):
    """Steps on the difference of logits; the ball shrinks if the iterate is adversarial and grows otherwise.

    Args:
        steps: number of gradient steps.
        step: l2 length of the first step, in pixel values of [0, 1]; it falls to a hundredth. 0 means the paper's
        values: 1 in l2, 10 in linf.
        gamma: relative change of the radius at the first step; it falls to 0.001.
        refine: number of FAB steps towards each of the nine likeliest other classes after the search, which ends in a
        local minimum; 0 means the paper's search alone.
    """

    kind: ClassVar[str] = "minimum-norm"
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    steps: int = 300
    step: float = 0.0
    gamma: float = 0.05
    refine: int = 100

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps is less than one: {self.steps}")
        if self.step < 0:
            raise UsageError(f"step is negative: {self.step:g}")
        if not 0 < self.gamma < 1:
            raise UsageError(f"gamma is not between 0 and 1: {self.gamma:g}")
        if self.refine < 0:
            raise UsageError(f"refine is negative: {self.refine}", "give 0 for the paper's search alone")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the nearest adversarial image found, projected onto the ball: (N, H, W, C), (N,) -> (N, H, W, C)."""
        first = self.step or (10.0 if threat.norm is Norm.LINF else 1.0)
        point, best = images, nothing_yet(images)
        largest = threat.size(tf.maximum(images, 1 - images))
        radius = largest
        for i in tf.range(self.steps):
            gradient, behind, is_adversarial = self._look(logits_fn, point, labels, threat)
            best = best.updated(point, is_adversarial, images, threat)
            gradient = uphill(gradient, point)
            # Until something is found, the boundary is estimated to first order.
            estimate = threat.size(point - images) + tf.abs(behind) / dual_size(gradient, threat)
            radius = self._radius(radius, estimate, is_adversarial, best, annealed(self.gamma, 0.001, i, self.steps))
            radius = tf.minimum(radius, largest)
            # The paper scales the gradient to l2 length one for every norm.
            length = annealed(first, first / 100, i, self.steps)
            point = _in_ball(point + length * scaled(gradient), images, radius, threat)
        _, _, is_adversarial = self._look(logits_fn, point, labels, threat)
        best = best.updated(point, is_adversarial, images, threat)
        best = refined(best, logits_fn, images, labels, threat, rng, self.refine)
        return best.within(images, threat, otherwise=point)

    def _look(
        self, logits_fn: Callable[[Tensor], Tensor], point: Tensor, labels: Tensor, threat: Threat
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradient of the negative margin, the margin, and whether the point is adversarial."""

        def lead(at: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            logits = logits_fn(at)
            behind = margin(logits, labels, threat)
            return -behind, (logits, behind)

        gradient, (logits, behind) = gradient_and_aux(lead, point)
        return gradient, behind, threat.is_adversarial(logits, labels)

    def _radius(
        self, radius: Tensor, estimate: Tensor, is_adversarial: Tensor, best: Smallest, gamma: Tensor
    ) -> Tensor:
        outside = tf.where(tf.math.is_finite(best.size), radius * (1 + gamma), estimate)
        return tf.where(is_adversarial, tf.minimum(radius * (1 - gamma), best.size), outside)


def scaled(gradient: Tensor) -> Tensor:
    """Scale to an l2 norm of one: (N, H, W, C) -> (N, H, W, C); zero stays zero."""
    scale = tf.reduce_max(tf.abs(gradient), axis=(1, 2, 3), keepdims=True)
    gradient = tf.math.divide_no_nan(gradient, scale)
    return tf.math.divide_no_nan(gradient, by_image(euclidean(gradient)))


def _in_ball(points: Tensor, images: Tensor, radius: Tensor, threat: Threat) -> Tensor:
    """Project onto [0, 1], then onto balls with one radius for each image."""
    # In the other order a step that [0, 1] cuts would end well inside the ball: the radius would not be used.
    delta = tf.clip_by_value(points, 0.0, 1.0) - images
    radius = by_image(radius)
    if threat.norm is Norm.LINF:
        return tf.clip_by_value(images + tf.clip_by_value(delta, -radius, radius), 0.0, 1.0)
    return tf.clip_by_value(
        images + delta * tf.minimum(1.0, tf.math.divide_no_nan(radius, by_image(euclidean(delta)))), 0.0, 1.0
    )


COMPONENT = FMN
