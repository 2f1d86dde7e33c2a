"""What the searches for the smallest perturbation share."""

import math
from typing import NamedTuple

from advcli.attacks._rounds import best_other, by_image, of_class
from advcli.backend import Tensor, tf
from advcli.threat import Norm, Threat


class Smallest(NamedTuple):
    """The adversarial image nearest to each original so far, and how far it is: infinity if there is none."""

    image: Tensor
    size: Tensor

    def updated(self, candidates: Tensor, won: Tensor, originals: Tensor, threat: Threat) -> "Smallest":
        """Put candidates that won and are nearer in place of what was there."""
        size = threat.size(candidates - originals)
        nearer = won & (size < self.size)
        image = tf.where(by_image(nearer), candidates, self.image)
        return Smallest(image, tf.where(nearer, size, self.size))

    def within(self, originals: Tensor, threat: Threat, otherwise: Tensor) -> Tensor:
        """Return it inside the ball; ``otherwise`` is what stands in where nothing was found."""
        image = tf.where(by_image(tf.math.is_finite(self.size)), self.image, otherwise)
        return settled(image, originals, threat)


def nothing_yet(originals: Tensor) -> Smallest:
    """Return the record that holds no adversarial image."""
    return Smallest(originals, tf.fill(tf.shape(originals)[:1], math.inf))


def settled(adversarial: Tensor, originals: Tensor, threat: Threat) -> Tensor:
    """Project what is outside the ball, and leave to the last bit what is inside: it is at a boundary."""
    inside = threat.size(adversarial - originals) <= threat.eps
    return tf.where(by_image(inside), adversarial, threat.project(adversarial, originals))


def margin(logits: Tensor, labels: Tensor, threat: Threat) -> Tensor:
    """Return how far the logits are from what the adversary wants; negative where it has it: (N, K), (N,) -> (N,)."""
    if threat.target is None:
        return of_class(logits, labels) - best_other(logits, labels)
    targets = tf.fill(tf.shape(labels), tf.cast(threat.target, labels.dtype))
    return best_other(logits, targets) - of_class(logits, targets)


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
