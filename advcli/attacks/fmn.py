"""Fast minimum-norm: gradient steps in a ball whose radius follows the distance to the boundary.

Pintor, Roli, Brendel and Biggio 2021, https://arxiv.org/abs/2102.12827
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks._minimal import Smallest, annealed, dual_size, euclidean, margin, nothing_yet
from advcli.attacks._rounds import by_image
from advcli.backend import Tensor, tf
from advcli.draws import Draws
from advcli.errors import UsageError
from advcli.threat import Norm, Threat


@dataclass(frozen=True)
class FMN:
    """Steps on the difference of logits; the ball shrinks after a success and grows after a failure.

    Args:
        steps: number of gradient steps.
        step: length (l2) of the first step, which falls to a hundredth of it; the paper takes 1 or 10.
        gamma: by which fraction the radius changes at first; it falls to 0.001.
    """

    kind: ClassVar[str] = "smallest"

    steps: int = 300
    step: float = 3.0
    gamma: float = 0.05

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps is less than one: {self.steps}")
        if self.step <= 0:
            raise UsageError(f"step is not positive: {self.step:g}")
        if not 0 < self.gamma < 1:
            raise UsageError(f"gamma is not between 0 and 1: {self.gamma:g}")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, draws: Draws
    ) -> Tensor:
        """Search: (N, H, W, C), (N,) -> (N, H, W, C), the smallest found, brought into the ball."""
        point, best = images, nothing_yet(images)
        radius = tf.fill(tf.shape(labels), math.inf)
        for i in tf.range(self.steps):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(point)
                logits = logits_fn(point)
                behind = margin(logits, labels, threat)
                total = -tf.reduce_sum(behind)
            gradient = tape.gradient(total, point)
            won = threat.won(logits, labels)
            best = best.updated(point, won, images, threat)
            # Until something is found, the boundary is estimated to first order.
            estimate = threat.size(point - images) + tf.abs(behind) / dual_size(gradient, threat)
            radius = self._radius(radius, estimate, won, best, annealed(self.gamma, 0.001, i, self.steps))
            # The paper scales the gradient to l2 length one for every norm.
            length = annealed(self.step, self.step / 100, i, self.steps)
            way = by_image(tf.math.divide_no_nan(length, euclidean(gradient))) * gradient
            point = _in_ball(point + way, images, radius, threat)
        best = best.updated(point, threat.won(logits_fn(point), labels), images, threat)
        return best.within(images, threat, otherwise=point)

    def _radius(self, radius: Tensor, estimate: Tensor, won: Tensor, best: Smallest, gamma: Tensor) -> Tensor:
        outside = tf.where(tf.math.is_finite(best.size), radius * (1 + gamma), estimate)
        return tf.where(won, tf.minimum(radius * (1 - gamma), best.size), outside)


def _in_ball(points: Tensor, images: Tensor, radius: Tensor, threat: Threat) -> Tensor:
    """Project onto balls of one radius an image, then onto [0, 1]; a radius that is not finite leaves them."""
    radius = by_image(tf.where(tf.math.is_finite(radius), radius, 1e6))
    delta = points - images
    if threat.norm is Norm.LINF:
        delta = tf.clip_by_value(delta, -radius, radius)
    else:
        delta *= tf.minimum(1.0, radius / tf.maximum(by_image(euclidean(delta)), 1e-12))
    return tf.clip_by_value(images + delta, 0.0, 1.0)


COMPONENT = FMN
