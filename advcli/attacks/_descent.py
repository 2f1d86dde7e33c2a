"""Descents in a ball or on a sphere whose radius follows the distance to the boundary: FMN and DDN.

Pintor, Roli, Brendel and Biggio 2021, https://arxiv.org/abs/2102.12827; Rony, Hafemann, Oliveira, Ben Ayed, Sabourin
and Granger 2019, https://arxiv.org/abs/1811.09600
"""

from dataclasses import dataclass

from advcli.attacks._minimal import NearestAdversarial, annealed, dual_size, euclidean, margin, none_found, uphill
from advcli.attacks._rounds import Network, by_image
from advcli.backend import Tensor, tf
from advcli.threat import l1_ball
from advcli.threat.gradient import loss_gradient
from advcli.threat.threat import Norm, Threat


@dataclass(frozen=True)
class Descent:
    """Steps on the difference of logits; the ball shrinks after a success and grows after a failure.

    Args:
        steps: number of gradient steps.
        step: l2 length of the first step; 0 means the paper's: 1 in l2 and l1, 10 in linf.
        gamma: by which fraction the radius changes at first.
    """

    steps: int
    step: float = 0.0
    gamma: float = 0.05

    def __call__(
        self, logits_fn: Network, images: Tensor, labels: Tensor, threat: Threat
    ) -> tuple[NearestAdversarial, Tensor]:
        """Return the nearest adversarial images found, and where the descent ended: (N, H, W, C), (N,)."""
        first = self.step or (10.0 if threat.norm is Norm.LINF else 1.0)
        point, best = images, none_found(images)
        largest = threat.size(threat.restrict(tf.maximum(images, 1 - images)))
        radius = largest
        for i in tf.range(self.steps):
            gradient, behind, is_adversarial = self._look(logits_fn, point, labels, threat)
            best = best.updated(point, is_adversarial, images, threat)
            gradient = uphill(gradient, point)
            # Until something is found, the boundary is estimated to first order.
            slope = dual_size(gradient, threat)
            ahead = tf.where(slope > 0, tf.math.divide_no_nan(tf.abs(behind), slope), largest)
            estimate = threat.size(point - images) + ahead
            radius = self._radius(radius, estimate, is_adversarial, best, annealed(self.gamma, 0.001, i, self.steps))
            radius = tf.minimum(radius, largest)
            # The paper scales the gradient to l2 length one for every norm.
            length = annealed(first, first / 100, i, self.steps)
            point = _in_ball(point + length * _scaled(gradient), images, radius, threat)
        _, _, is_adversarial = self._look(logits_fn, point, labels, threat)
        best = best.updated(point, is_adversarial, images, threat)
        return best, point

    def _look(self, logits_fn: Network, point: Tensor, labels: Tensor, threat: Threat) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradient that leads to the adversary's aim, how far behind it is, and whether it is reached."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(point)
            logits = logits_fn(point)
            behind = margin(logits, labels, threat)
            total = -tf.reduce_sum(behind)
        gradient = tape.gradient(total, point, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return threat.restrict(gradient), behind, threat.is_adversarial(logits, labels)

    def _radius(
        self, radius: Tensor, estimate: Tensor, is_adversarial: Tensor, best: NearestAdversarial, gamma: Tensor
    ) -> Tensor:
        outside = tf.where(tf.math.is_finite(best.size), radius * (1 + gamma), estimate)
        return tf.where(is_adversarial, tf.minimum(radius * (1 - gamma), best.size), outside)


@dataclass(frozen=True)
class Sphere:
    """Steepest-ascent l2 steps whose result is put on a sphere: smaller after a success, larger after a failure.

    Args:
        steps: number of gradient steps.
        gamma: by which fraction the radius changes at each step.
        radius: the first radius.
    """

    steps: int
    gamma: float = 0.05
    radius: float = 1.0

    def __call__(
        self, logits_fn: Network, images: Tensor, labels: Tensor, threat: Threat
    ) -> tuple[NearestAdversarial, Tensor]:
        """Return the nearest adversarial images found, and where the descent ended: (N, H, W, C), (N,)."""
        point, delta, best = images, tf.zeros_like(images), none_found(images)
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
        return best, point


def _scaled(gradient: Tensor) -> Tensor:
    """Scale to l2 length one: (N, H, W, C) -> (N, H, W, C); zero stays zero."""
    scale = tf.reduce_max(tf.abs(gradient), axis=(1, 2, 3), keepdims=True)
    gradient = tf.math.divide_no_nan(gradient, scale)
    return tf.math.divide_no_nan(gradient, by_image(euclidean(gradient)))


def _in_ball(points: Tensor, images: Tensor, radius: Tensor, threat: Threat) -> Tensor:
    """Project onto [0, 1], then onto balls of one radius an image."""
    if threat.norm is Norm.L1:
        return l1_ball.project(points, images, radius[:, None])
    # In the other order a step that [0, 1] cuts would end well inside the ball: the radius would not be used.
    delta = tf.clip_by_value(points, 0.0, 1.0) - images
    radius = by_image(radius)
    if threat.norm is Norm.LINF:
        return tf.clip_by_value(images + tf.clip_by_value(delta, -radius, radius), 0.0, 1.0)
    return tf.clip_by_value(
        images + delta * tf.minimum(1.0, tf.math.divide_no_nan(radius, by_image(euclidean(delta)))), 0.0, 1.0
    )
