"""HopSkipJump: a decision-based search along the boundary that queries only the predicted class; untargeted.

Chen, Jordan and Wainwright 2020, https://arxiv.org/abs/1904.02144
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack
from advcli.attacks._minimal import bisected, euclidean, none_found
from advcli.attacks._rounds import by_image
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat

_TRIES = 100  # for a start
_SHORTER = 10  # times that a step which leaves the wrong class is halved


@dataclass(frozen=True)
class HopSkipJump(Attack):
    """From misclassified noise, bisect to the boundary, then step along the estimated normal of the boundary.

    At step t the estimate uses ``samples * sqrt(t)`` neighbours and the step is ``distance / sqrt(t)``, as in the
    paper. The neighbours are farther away than the paper's ``1 / d`` of the distance, which is below the resolution
    of float32 for images of any size.

    Args:
        queries: maximum number of forward passes for each image.
        samples: number of neighbours for the first estimate of the normal.
        reach_ratio: distance of the neighbours, as a ratio of the distance to the image.
    """

    kind: ClassVar[str] = "decision"
    targeted: ClassVar[bool] = False

    queries: int = 5000
    samples: int = 100
    reach_ratio: float = 0.01

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UsageError(f"samples is less than one: {self.samples}")
        if self.queries < _TRIES + 100:
            raise UsageError(f"queries is too small to find a start: {self.queries}", f"give at least {_TRIES + 100}")
        if not 0 < self.reach_ratio < 1:
            raise UsageError(f"reach_ratio is not a fraction of the distance: {self.reach_ratio:g}")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the nearest adversarial image found, projected onto the ball, or the image: -> (N, H, W, C)."""

        def is_adversarial(points: Tensor) -> Tensor:
            return threat.is_adversarial(logits_fn(points), labels)

        dimensions = tf.cast(tf.reduce_prod(tf.shape(images)[1:]), tf.float32)
        # The boundary must be known better than the neighbours are far; float32 sets the limit.
        bisections = tf.cast(
            tf.minimum(tf.math.log(tf.sqrt(dimensions) / self.reach_ratio) / tf.math.log(2.0), 20), tf.int32
        )
        already = is_adversarial(images)
        start, found = _start(is_adversarial, images, already, threat, rng)
        point = bisected(is_adversarial, images, start, bisections, threat)
        best = none_found(images).updated(point, found, images, threat)
        # What a step may take is what it is charged, so that the images of a batch all take the same number.
        used = 1 + _TRIES + bisections
        step, samples = tf.constant(1), tf.constant(self.samples)
        while used + samples + _SHORTER + bisections <= self.queries:
            way = threat.steepest(self._normal(is_adversarial, images, point, samples, threat, rng.fold(step)))
            length = threat.size(point - images) / tf.sqrt(tf.cast(step, tf.float32))
            point = _forward(is_adversarial, point, way, length)
            point = bisected(is_adversarial, images, point, bisections, threat)
            best = best.updated(point, found, images, threat)
            used += samples + _SHORTER + bisections
            step += 1
            samples = tf.cast(self.samples * tf.sqrt(tf.cast(step, tf.float32)), tf.int32)
        return best.within(images, threat, otherwise=images)

    def _normal(
        self,
        is_adversarial: Callable[[Tensor], Tensor],
        images: Tensor,
        point: Tensor,
        samples: Tensor,
        threat: Threat,
        rng: ImageRng,
    ) -> Tensor:
        """Estimate the normal: ``sum (phi - mean(phi)) u`` over neighbours u, phi = 1 if u is adversarial, else -1."""
        reach = self.reach_ratio * by_image(euclidean(point - images))
        ways, votes, share = tf.zeros_like(point), tf.zeros_like(point), tf.zeros(tf.shape(point)[:1])
        for i in tf.range(samples):
            way = threat.restrict(rng.fold(i).normal(tf.shape(point)[1:]))
            length = tf.maximum(euclidean(way), 1e-12)
            neighbour = tf.clip_by_value(point + reach * way / by_image(length), 0.0, 1.0)
            way = tf.math.divide_no_nan(neighbour - point, reach)
            vote = tf.where(is_adversarial(neighbour), 1.0, -1.0)
            ways += way
            votes += by_image(vote) * way
            share += vote / tf.cast(samples, tf.float32)
        # Where all agree there is no contrast to see, and their mean is all there is.
        agreed = tf.abs(share) > 1 - 1e-4
        return votes - by_image(tf.where(agreed, 0.0, share)) * ways


def _start(
    is_adversarial: Callable[[Tensor], Tensor], images: Tensor, already: Tensor, threat: Threat, rng: ImageRng
) -> tuple[Tensor, Tensor]:
    """Search for misclassified noise: -> (N, H, W, C), and (N,) bool, where it was found.

    Every other attempt is black and white instead of grey, in blocks of 1, 2, 4 or 8 pixels: many networks assign
    fine grey noise to a single class.
    """
    start, found = images, already
    height, width, channels = tf.unstack(tf.shape(images)[1:])
    for i in tf.range(_TRIES):
        if tf.reduce_all(found):
            break
        grain = 2 ** (i // 2 % 4)
        grains = rng.fold(-1 - i).uniform([-(-height // grain), -(-width // grain), channels])
        noise = tf.repeat(tf.repeat(grains, grain, axis=1), grain, axis=2)[:, :height, :width]
        noise = tf.ensure_shape(tf.where(i % 2 == 0, noise, tf.round(noise)), images.shape)
        noise = threat.restore(noise, images)
        fresh = ~found & is_adversarial(noise)
        start = tf.where(by_image(fresh), noise, start)
        found |= fresh
    return start, found


def _forward(is_adversarial: Callable[[Tensor], Tensor], points: Tensor, way: Tensor, length: Tensor) -> Tensor:
    """Step along a direction, with half the length each time the end is not adversarial; else return the start."""
    moved, done = points, tf.zeros_like(length, tf.bool)
    for _ in tf.range(_SHORTER):
        if tf.reduce_all(done):
            break
        candidate = tf.clip_by_value(points + by_image(length) * way, 0.0, 1.0)
        good = ~done & is_adversarial(candidate)
        moved = tf.where(by_image(good), candidate, moved)
        done |= good
        length /= 2
    return moved


COMPONENT = HopSkipJump
