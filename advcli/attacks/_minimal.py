"""What the searches for the smallest perturbation share."""

import math
from collections.abc import Callable
from typing import NamedTuple

from advcli.attacks._rounds import best_other, by_image, of_class
from advcli.backend import Tensor, tf
from advcli.threat.threat import Norm, Threat


class Smallest(NamedTuple):
    """The adversarial image nearest to each original so far, and how far it is: infinity if there is none."""

    image: Tensor
    size: Tensor

    def updated(self, candidates: Tensor, is_adversarial: Tensor, originals: Tensor, threat: Threat) -> "Smallest":
        """Put candidates that won and are nearer in place of what was there."""
        size = threat.size(candidates - originals)
        nearer = is_adversarial & (size < self.size)
        image = tf.where(by_image(nearer), candidates, self.image)
        return Smallest(image, tf.where(nearer, size, self.size))

    def within(self, originals: Tensor, threat: Threat, otherwise: Tensor) -> Tensor:
        """Return it inside the ball; ``otherwise`` is what stands in where nothing was found."""
        image = tf.where(by_image(tf.math.is_finite(self.size)), self.image, otherwise)
        return project_outside(image, originals, threat)


def nothing_yet(originals: Tensor) -> Smallest:
    """Return the record that holds no adversarial image."""
    return Smallest(originals, tf.fill(tf.shape(originals)[:1], math.inf))


def project_outside(adversarial: Tensor, originals: Tensor, threat: Threat) -> Tensor:
    """Project what is outside the ball, and leave to the last bit what is inside: it is at a boundary."""
    inside = threat.size(adversarial - originals) <= threat.eps
    return tf.where(by_image(inside), adversarial, threat.project(adversarial, originals))


def margin(logits: Tensor, labels: Tensor, threat: Threat) -> Tensor:
    """Return how far the logits are from what the adversary wants; negative where it has it: (N, K), (N,) -> (N,)."""
    if threat.target is None:
        return of_class(logits, labels) - best_other(logits, labels)
    targets = tf.fill(tf.shape(labels), tf.cast(threat.target, labels.dtype))
    return best_other(logits, targets) - of_class(logits, targets)


def uphill(gradient: Tensor, points: Tensor) -> Tensor:
    """Return the gradient without the entries whose pixels are at the end of [0, 1] that they would move to."""
    return tf.where(tf.where(gradient > 0, points < 1, points > 0), gradient, 0.0)


def dual_size(gradient: Tensor, threat: Threat) -> Tensor:
    """Return the gain of a step of length one along the steepest ascent: (N, H, W, C) -> (N,)."""
    if threat.norm is Norm.LINF:
        return tf.reduce_sum(tf.abs(gradient), axis=(1, 2, 3))
    return euclidean(gradient)


def euclidean(delta: Tensor) -> Tensor:
    """Measure perturbations in l2, whatever the threat's norm is: (N, H, W, C) -> (N,)."""
    return tf.sqrt(tf.reduce_sum(tf.square(delta), axis=(1, 2, 3)))


def annealed(first: float, last: float, step: Tensor, steps: int) -> Tensor:
    """Go from the first value to the last along half a cosine."""
    share = tf.cast(step, tf.float32) / steps
    return last + (first - last) * (1 + tf.cos(math.pi * share)) / 2


def to_hyperplane(points: Tensor, normal: Tensor, height: Tensor, norm: Norm) -> Tensor:
    """Return the smallest steps that reach ``height + <normal, step> = 0`` inside [0, 1].

    A coordinate moves as far as all others (linf), or in proportion to its weight (l2), until it
    is at its end of [0, 1]. The height removed by a reach is therefore concave and piecewise linear,
    with bends where coordinates stop: Newton's steps from zero never pass the reach that removes all
    of it, and are there once no coordinate stops any more. Where none does, every one goes to its end.

    Args:
        points: (N, H, W, C).
        normal: (N, H, W, C).
        height: (N,).
        norm: what is smallest.
    """
    downhill = -tf.sign(by_image(height)) * normal
    room = tf.where(downhill > 0, 1 - points, points)
    weight = tf.abs(normal)
    pace = tf.ones_like(weight) if norm is Norm.LINF else weight
    bends = tf.math.divide_no_nan(room, pace)
    at_end, slopes = weight * room, weight * pace
    wanted = tf.abs(height)

    def further(reach: Tensor, stopped: Tensor, settled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        moving = bends > by_image(reach)
        slope = tf.reduce_sum(tf.where(moving, slopes, 0.0), axis=(1, 2, 3))
        left = wanted - tf.reduce_sum(tf.where(moving, 0.0, at_end), axis=(1, 2, 3))
        newly = tf.reduce_sum(tf.cast(~moving, tf.int32), axis=(1, 2, 3))
        ahead = tf.where(slope > 0, tf.math.divide_no_nan(left, slope), reach)
        return tf.maximum(ahead, reach), newly, tf.reduce_all(newly == stopped)

    none = tf.zeros_like(height, tf.int32) - 1
    start = (tf.zeros_like(height), none, tf.constant(False))
    reach, _, _ = tf.while_loop(lambda reach, stopped, settled: ~settled, further, start)
    return tf.sign(downhill) * tf.minimum(by_image(reach) * pace, room)


def bisected(
    is_adversarial: Callable[[Tensor], Tensor], images: Tensor, points: Tensor, bisections: int | Tensor, threat: Threat
) -> Tensor:
    """Bring adversarial points nearer to their images for as long as they stay adversarial; others stay.

    Args:
        is_adversarial: (N, H, W, C) -> (N,) bool: which points are adversarial.
        images: (N, H, W, C).
        points: (N, H, W, C); the way to the image is straight or, in linf, that of an ever narrower box.
        bisections: how often the way is halved.
        threat: the norm.
    """
    nearest = points
    low, high = tf.zeros(tf.shape(points)[:1]), tf.ones(tf.shape(points)[:1])
    size = by_image(threat.size(points - images))
    for _ in tf.range(bisections):
        middle = (low + high) / 2
        share = by_image(middle)
        if threat.norm is Norm.LINF:
            candidate = tf.clip_by_value(points, images - share * size, images + share * size)
        else:
            candidate = images + share * (points - images)
        inside = is_adversarial(candidate)
        nearest = tf.where(by_image(inside), candidate, nearest)
        low, high = tf.where(inside, low, middle), tf.where(inside, middle, high)
    return nearest
