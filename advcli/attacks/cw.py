"""Carlini and Wagner's l2 attack: minimise distance plus c times the margin, with a binary search over c.

Carlini and Wagner 2017, https://arxiv.org/abs/1608.04644
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from advcli.attacks import Attack
from advcli.attacks._minimal import NearestAdversarial, margin, none_found
from advcli.attacks._refinement import refined
from advcli.attacks._rounds import by_image
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.gradient import gradient_and_aux
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


class _Weight(NamedTuple):
    """The factor c of each image, and the interval that brackets it."""

    value: Tensor
    too_small: Tensor
    large_enough: Tensor

    def refined(self, is_adversarial: Tensor) -> "_Weight":
        """Bisect the interval where it has an upper bound; otherwise multiply c by ten."""
        low = tf.where(is_adversarial, self.too_small, tf.maximum(self.too_small, self.value))
        high = tf.where(is_adversarial, tf.minimum(self.large_enough, self.value), self.large_enough)
        return _Weight(tf.where(tf.math.is_finite(high), (low + high) / 2, self.value * 10), low, high)


@dataclass(frozen=True)
class CW(Attack):
    """Adam on ``|x' - x|^2 + c * max(margin + confidence, 0)``, with ``x' = (tanh(w) + 1) / 2``.

    Args:
        steps: Adam steps for each c, at the most; an image stops when a tenth of them gains nothing.
        binary_steps: how many values of c are tried.
        c: the first c.
        learning_rate: of Adam, at the most: once an adversarial image is found, steps are a tenth as long as it is far.
        confidence: by how much the logit of the wrong class must be ahead.
        refine: steps of each of the searches that come after, for this one ends in a local minimum: walks along the
            boundary towards nine likely classes and the descents of fmn and ddn; 0, or a confidence: the paper's
            search alone.
    """

    kind: ClassVar[str] = "minimum-norm"
    norms: ClassVar[tuple[str, ...]] = ("l2",)

    steps: int = 1000
    binary_steps: int = 9
    c: float = 0.001
    learning_rate: float = 0.01
    confidence: float = 0.0
    refine: int = 100

    def __post_init__(self) -> None:
        for option in ("steps", "binary_steps"):
            if getattr(self, option) < 1:
                raise UsageError(f"{option} is less than one: {getattr(self, option)}")
        for option in ("c", "learning_rate"):
            if getattr(self, option) <= 0:
                raise UsageError(f"{option} is not positive: {getattr(self, option):g}")
        if self.confidence < 0:
            raise UsageError(f"confidence is negative: {self.confidence:g}")
        if self.refine < 0:
            raise UsageError(f"refine is negative: {self.refine}", "give 0 for the paper's search alone")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the nearest adversarial image found, projected onto the ball: (N, H, W, C), (N,) -> (N, H, W, C)."""
        best, point = none_found(images), images
        none = tf.zeros(tf.shape(labels))
        weight = _Weight(none + self.c, none, none + math.inf)
        for _ in tf.range(self.binary_steps):
            best, point, is_adversarial = self._descend(logits_fn, images, labels, threat, weight.value, best)
            weight = weight.refined(is_adversarial)
        # FAB ends on the boundary, where the margin is zero and no confidence is reached.
        steps = 0 if self.confidence else self.refine
        return refined(best, logits_fn, images, labels, threat, rng, steps).within(images, threat, otherwise=point)

    def _descend(
        self,
        logits_fn: Callable[[Tensor], Tensor],
        images: Tensor,
        labels: Tensor,
        threat: Threat,
        weight: Tensor,
        best: NearestAdversarial,
    ) -> tuple[NearestAdversarial, Tensor, Tensor]:
        """Run Adam for one c an image: -> the nearest so far, the last iterates, and where this c was large enough."""
        w = tf.atanh((2 * images - 1) * 0.999999)
        mean, square, point = tf.zeros_like(w), tf.zeros_like(w), images
        sufficed, active = tf.zeros_like(labels, tf.bool), tf.ones_like(labels, tf.bool)
        before = tf.fill(tf.shape(labels), math.inf)
        pause = max(self.steps // 10, 1)

        def objective(w: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            point = threat.restore((tf.tanh(w) + 1) / 2, images)
            logits = logits_fn(point)
            behind = margin(logits, labels, threat)
            distance = tf.reduce_sum(tf.square(point - images), axis=(1, 2, 3))
            loss = distance + weight * tf.nn.relu(behind + self.confidence)
            return loss, (point, logits, behind, loss)

        for i in tf.range(self.steps):
            gradient, (point, logits, behind, loss) = gradient_and_aux(objective, w)
            if i % pause == 0:
                # Only late iterates say whether c is large enough: the first steps may jump over the boundary.
                sufficed &= ~active
            is_adversarial = active & threat.is_adversarial(logits, labels) & (behind <= -self.confidence)
            best = best.updated(point, is_adversarial, images, threat)
            sufficed |= is_adversarial
            if (i + 1) % pause == 0:
                active &= loss <= 0.9999 * before
                before = loss
            if not tf.reduce_any(active):
                break
            time = tf.cast(i + 1, tf.float32)
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * tf.square(gradient)
            step = (mean / (1 - 0.9**time)) / (tf.sqrt(square / (1 - 0.999**time)) + 1e-8)
            w -= by_image(self._rate(best, images, threat)) * step
        return best, point, sufficed

    def _rate(self, best: NearestAdversarial, images: Tensor, threat: Threat) -> Tensor:
        """Return each image's learning rate, limited because steps longer than the distance jump over the boundary."""
        # A step of Adam changes every w by the learning rate or less, and x' by at most half of that.
        coordinates = tf.maximum(tf.reduce_sum(threat.restrict(tf.ones_like(images)), axis=(1, 2, 3)), 1.0)
        return tf.minimum(self.learning_rate, best.size / 10 / (0.5 * tf.sqrt(coordinates)))


COMPONENT = CW
