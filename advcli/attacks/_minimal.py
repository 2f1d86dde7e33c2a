"""Helper functions of the minimum-norm attacks: distances, projections onto hyperplanes, bisection."""

import math
from collections.abc import Callable
from typing import NamedTuple

from advcli.attacks._rounds import best_other, by_image, of_class, pick_images
from advcli.backend import Tensor, tf
from advcli.threat.threat import Norm, Threat
from advcli.tracing import as_written, converted, repeated


@as_written
class NearestAdversarial(NamedTuple):
    """The adversarial image nearest to each original so far, and its distance: infinity if there is none."""

    image: Tensor
    size: Tensor

    def updated(
        self, candidates: Tensor, is_adversarial: Tensor, originals: Tensor, threat: Threat
    ) -> "NearestAdversarial":
        """Replace each image by its candidate if that is adversarial and nearer."""
        size = threat.size(candidates - originals)
        nearer = is_adversarial & (size < self.size)
        image = pick_images(nearer, candidates, self.image)
        return NearestAdversarial(image, tf.where(nearer, size, self.size))

    def within(self, originals: Tensor, threat: Threat, otherwise: Tensor) -> Tensor:
        """Return the images projected onto the ball; ``otherwise`` is used where no adversarial image was found."""
        image = pick_images(tf.math.is_finite(self.size), self.image, otherwise)
        return project_outside(image, originals, threat)


@as_written
def none_found(originals: Tensor) -> NearestAdversarial:
    """Return the initial value, without any adversarial image."""
    return NearestAdversarial(originals, tf.fill(tf.shape(originals)[:1], math.inf))


@as_written
def project_outside(adversarial: Tensor, originals: Tensor, threat: Threat) -> Tensor:
    """Project points outside the ball; points inside, which lie close to a boundary, stay equal to the last bit."""
    inside = threat.size(adversarial - originals) <= threat.eps
    return pick_images(inside, adversarial, threat.project(adversarial, originals))


@as_written
def margin(logits: Tensor, labels: Tensor, threat: Threat) -> Tensor:
    """Return the margin, negative where the image is adversarial: (N, K), (N,) -> (N,).

    Untargeted: ``z_label - max of the other logits``. Targeted: ``max of the other logits - z_target``.
    """
    if threat.target is None:
        return of_class(logits, labels) - best_other(logits, labels)
    targets = tf.fill(tf.shape(labels), tf.cast(threat.target, labels.dtype))
    return best_other(logits, targets) - of_class(logits, targets)


@as_written
def uphill(gradient: Tensor, points: Tensor) -> Tensor:
    """Set the gradient to zero where a step along it would leave [0, 1]: pixels at 0 with g < 0, at 1 with g > 0."""
    return tf.where(tf.where(gradient > 0, points < 1, points > 0), gradient, 0.0)


@as_written
def dual_size(gradient: Tensor, threat: Threat) -> Tensor:
    """Return the dual norm of the gradient, ``max of <gradient, d> subject to ||d|| <= 1``: (N, H, W, C) -> (N,)."""
    if threat.norm is Norm.LINF:
        return tf.reduce_sum(tf.abs(gradient), axis=(1, 2, 3))
    if threat.norm is Norm.L1:
        return tf.reduce_max(tf.abs(gradient), axis=(1, 2, 3))
    return euclidean(gradient)


@as_written
def euclidean(delta: Tensor) -> Tensor:
    """Return the l2 norm of perturbations, whatever the threat's norm is: (N, H, W, C) -> (N,)."""
    return tf.sqrt(tf.reduce_sum(tf.square(delta), axis=(1, 2, 3)))


@as_written
def annealed(first: float, last: float, step: Tensor, steps: int) -> Tensor:
    """Return ``last + (first - last) * (1 + cos(pi * step / steps)) / 2``."""
    share = tf.cast(step, tf.float32) / steps
    return last + (first - last) * (1 + tf.cos(math.pi * share)) / 2


@as_written
def to_hyperplane(points: Tensor, normal: Tensor, height: Tensor, norm: Norm) -> Tensor:
    """Return argmin over d of ``||d||`` subject to ``height + <normal, d> = 0`` and ``0 <= points + d <= 1``.

    The solution is ``d = clip(t * direction)``: every coordinate moves equally far (linf), or in proportion to its
    weight (l2), until its pixel is 0 or 1. ``|<normal, d>|`` is concave and piecewise linear in t, with knots where
    coordinates reach 0 or 1. Newton's method from t = 0 therefore never passes the solution, and ends once no further
    coordinate is clipped. In l1 the coordinates of greatest weight go to 0 or 1 one after the other, until the
    hyperplane is reached. If there is no solution, every coordinate of non-zero weight ends at 0 or 1.

    Args:
        points: (N, H, W, C).
        normal: (N, H, W, C).
        height: (N,).
        norm: the norm to minimise.
    """
    downhill = -tf.sign(by_image(height)) * normal
    # |1 - x| and |0 - x|: tf.where takes several times as long where its condition changes from pixel to pixel.
    room = tf.abs(tf.cast(downhill > 0, tf.float32) - points)
    weight = tf.abs(normal)
    if norm is Norm.L1:
        return tf.sign(downhill) * _greedy(weight, room, tf.abs(height))
    pace = tf.ones_like(weight) if norm is Norm.LINF else weight
    bends = tf.math.divide_no_nan(room, pace)
    at_end, slopes = weight * room, weight * pace
    wanted = tf.abs(height)

    def further(reach: Tensor, stopped: Tensor, settled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        moving = tf.cast(bends > by_image(reach), tf.float32)
        slope = tf.reduce_sum(moving * slopes, axis=(1, 2, 3))
        left = wanted - tf.reduce_sum((1 - moving) * at_end, axis=(1, 2, 3))
        newly = tf.reduce_sum(tf.cast(1 - moving, tf.int32), axis=(1, 2, 3))
        ahead = tf.where(slope > 0, tf.math.divide_no_nan(left, slope), reach)
        return tf.maximum(ahead, reach), newly, tf.reduce_all(newly == stopped)

    none = tf.zeros_like(height, tf.int32) - 1
    start = (tf.zeros_like(height), none, tf.constant(False))
    reach, _, _ = tf.while_loop(lambda reach, stopped, settled: ~settled, further, start)
    return tf.sign(downhill) * tf.minimum(by_image(reach) * pace, room)


def _greedy(weight: Tensor, room: Tensor, wanted: Tensor) -> Tensor:
    """Return argmin over r of ``sum(r)`` subject to ``<weight, r> = wanted`` and ``0 <= r <= room``.

    Few coordinates move far, so only as many of the greatest weights are sorted as are needed.

    Args:
        weight: (N, H, W, C), not negative.
        room: (N, H, W, C).
        wanted: (N,).
    """
    shape = tf.shape(weight)
    weight, room = (tf.reshape(tensor, [shape[0], -1]) for tensor in (weight, room))
    coordinates = tf.shape(weight)[1]
    # Sums of float32 numbers lose the contribution of the last coordinate, which is the one that is cut.
    wanted = tf.cast(wanted, tf.float64)[:, None]

    def sums(count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heaviest, index = tf.math.top_k(weight, count)
        space = tf.gather(room, index, axis=1, batch_dims=1)
        return index, heaviest, tf.cumsum(tf.cast(heaviest, tf.float64) * tf.cast(space, tf.float64), axis=1)

    def falls_short(count: Tensor) -> Tensor:
        return (count < coordinates) & tf.reduce_any(sums(count)[2][:, -1:] < wanted)

    def more(count: Tensor) -> tuple[Tensor]:
        return (tf.minimum(4 * count, coordinates),)

    (count,) = tf.while_loop(falls_short, more, (tf.minimum(64, coordinates),))
    index, heaviest, gained = sums(count)
    space = tf.gather(room, index, axis=1, batch_dims=1)
    before = tf.concat([tf.zeros_like(wanted), gained[:, :-1]], axis=1)
    left = tf.cast(tf.maximum(wanted - before, 0.0), tf.float32)
    moved = tf.minimum(tf.math.divide_no_nan(left, heaviest), space)
    rows = tf.broadcast_to(tf.range(shape[0])[:, None], tf.shape(index))
    return tf.reshape(tf.scatter_nd(tf.stack([rows, index], axis=-1), moved, tf.shape(weight)), shape)


@as_written
def bisected(
    is_adversarial: Callable[[Tensor], Tensor], images: Tensor, points: Tensor, bisections: int | Tensor, threat: Threat
) -> Tensor:
    """Bisect between images and adversarial points for the nearest adversarial point; other points are unchanged.

    Args:
        is_adversarial: (N, H, W, C) -> (N,) bool: which points are adversarial.
        images: (N, H, W, C).
        points: (N, H, W, C); the path to the image is a straight line or, in linf, the clip to a shrinking box.
        bisections: number of bisections.
        threat: the norm.
    """
    look = converted(is_adversarial)
    size = by_image(threat.size(points - images))

    def halve(_: Tensor, nearest: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        middle = (low + high) / 2
        share = by_image(middle)
        if threat.norm is Norm.LINF:
            candidate = tf.clip_by_value(points, images - share * size, images + share * size)
        else:
            candidate = images + share * (points - images)
        inside = look(candidate)
        nearest = pick_images(inside, candidate, nearest)
        return nearest, tf.where(inside, low, middle), tf.where(inside, middle, high)

    ends = (tf.zeros(tf.shape(points)[:1]), tf.ones(tf.shape(points)[:1]))
    return repeated(bisections, halve, (points, *ends))[0]
