"""HopSkipJump: a decision-based search along the boundary that queries only the predicted class.

Chen, Jordan and Wainwright 2020, https://arxiv.org/abs/1904.02144
"""

from collections.abc import Callable
from dataclasses import dataclass

from advcli.attacks import DecisionAttack
from advcli.attacks._decision import (
    Decision,
    decide,
    decisions_for_start,
    estimate_normal,
    find_start,
    refuse_few_queries,
)
from advcli.attacks._minimal import bisected, euclidean, none_found
from advcli.attacks._rounds import by_image, pick_images
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat

_SHORTER = 10  # times that a step which leaves the wrong class is halved


@dataclass(frozen=True)
class HopSkipJump(DecisionAttack):
    """From misclassified noise or an image of the target class, bisect to the boundary, then step along its normal.

    At step t the estimate uses ``samples * sqrt(t)`` neighbours and the step is ``distance / sqrt(t)``, as in the
    paper. The neighbours are farther away than the paper's ``1 / d`` of the distance, which is below the resolution
    of float32 for images of any size.

    Args:
        queries: maximum number of forward passes for each image.
        samples: number of neighbours for the first estimate of the normal.
        reach_ratio: distance of the neighbours, as a ratio of the distance to the image.
        eot: number of forward passes whose majority decides at each point, for a randomised model.
    """

    queries: int = 5000
    samples: int = 100
    reach_ratio: float = 0.01
    eot: int = 1

    def __post_init__(self) -> None:
        refuse_few_queries(self.queries, self.eot)
        if self.samples < 1:
            raise UsageError(f"samples is less than one: {self.samples}")
        if not 0 < self.reach_ratio < 1:
            raise UsageError(f"reach_ratio is not a fraction of the distance: {self.reach_ratio:g}")

    def __call__(
        self,
        logits_fn: Callable[[Tensor], Tensor],
        images: Tensor,
        labels: Tensor,
        threat: Threat,
        rng: ImageRng,
        start: Tensor | None = None,
    ) -> Tensor:
        """Return the nearest adversarial image found, projected onto the ball, or the image: -> (N, H, W, C)."""
        is_adversarial = decide(logits_fn, labels, threat, self.eot)
        dimensions = tf.cast(tf.reduce_prod(tf.shape(images)[1:]), tf.float32)
        # The boundary must be known better than the neighbours are far; float32 sets the limit.
        bisections = tf.cast(
            tf.minimum(tf.math.log(tf.sqrt(dimensions) / self.reach_ratio) / tf.math.log(2.0), 20), tf.int32
        )
        point, found = find_start(is_adversarial, images, start, threat, rng)
        point = bisected(is_adversarial, images, point, bisections, threat)
        best = none_found(images).updated(point, found, images, threat)
        # What a step may take is what it is charged, so that the images of a batch all take the same number.
        used = decisions_for_start(start) + bisections
        budget, beside_samples = self.queries // self.eot, _SHORTER + bisections
        # With few queries, the first estimate takes what is left for it.
        step, samples = tf.constant(1), tf.maximum(tf.minimum(self.samples, budget - used - beside_samples), 1)
        while used + samples + beside_samples <= budget:
            way = threat.steepest(self._normal(is_adversarial, images, point, samples, threat, rng.fold(step)))
            length = threat.size(point - images) / tf.sqrt(tf.cast(step, tf.float32))
            point = _forward(is_adversarial, point, way, length)
            point = bisected(is_adversarial, images, point, bisections, threat)
            best = best.updated(point, found, images, threat)
            used += samples + beside_samples
            step += 1
            samples = tf.cast(self.samples * tf.sqrt(tf.cast(step, tf.float32)), tf.int32)
        return best.within(images, threat, otherwise=images)

    def _normal(
        self, is_adversarial: Decision, images: Tensor, point: Tensor, samples: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Estimate the normal with neighbours in random directions: -> (N, H, W, C)."""

        def direction(i: Tensor) -> Tensor:
            way = threat.restrict(rng.fold(i).normal(tf.shape(point)[1:]))
            return way / by_image(tf.maximum(euclidean(way), 1e-12))

        reach = self.reach_ratio * by_image(euclidean(point - images))
        return estimate_normal(is_adversarial, point, reach, samples, direction)


def _forward(is_adversarial: Decision, points: Tensor, way: Tensor, length: Tensor) -> Tensor:
    """Step along a direction, with half the length each time the end is not adversarial; else return the start."""
    moved, done = points, tf.zeros_like(length, tf.bool)
    for _ in tf.range(_SHORTER):
        if tf.reduce_all(done):
            break
        candidate = tf.clip_by_value(points + by_image(length) * way, 0.0, 1.0)
        good = ~done & is_adversarial(candidate)
        moved = pick_images(good, candidate, moved)
        done |= good
        length /= 2
    return moved


COMPONENT = HopSkipJump
