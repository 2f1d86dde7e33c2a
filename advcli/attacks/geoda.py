"""GeoDA: estimate the normal of the decision boundary, taken as flat, and go along it from the image.

Rahmati, Moosavi-Dezfooli, Frossard and Dai 2020, https://arxiv.org/abs/2003.06468; the constants are those of their
code.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import DecisionAttack
from advcli.attacks._decision import (
    Decision,
    decide,
    decisions_for_start,
    estimate_normal,
    find_start,
    refuse_few_queries,
)
from advcli.attacks._minimal import bisected, none_found
from advcli.attacks._rounds import by_image, pick_images
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat

_BISECTIONS = 20
_LONGER = 10  # times that a way which does not reach the boundary is doubled
_LEAST = 50  # neighbours for the first estimate


@dataclass(frozen=True)
class GeoDA(DecisionAttack):
    """Estimate the normal at a boundary point, go from the image along it until across, bisect, and repeat.

    The normal is the sum over the neighbours of all estimates so far; the authors' code adds up the means of the
    estimates, so that the first, which have fewer neighbours, add most of the noise. The estimate subtracts the mean of
    the answers, as HopSkipJump's does; the authors' does not. The number of neighbours grows by the factor
    ``decay ** (-2/3)`` from estimate to estimate; the first has at least 50.

    Args:
        queries: maximum number of forward passes for each image.
        frequencies: noise is of the lowest N x N spatial frequencies (DCT) of the image.
        sigma: standard deviation of the noise at each frequency.
        decay: the assumed convergence rate, which determines the growth of the number of neighbours.
        eot: number of forward passes whose majority decides at each point, for a randomised model.
    """

    lengths: ClassVar[tuple[str, ...]] = ("sigma",)

    queries: int = 5000
    frequencies: int = 75
    sigma: float = 0.0002
    decay: float = 0.6
    eot: int = 1

    def __post_init__(self) -> None:
        refuse_few_queries(self.queries, self.eot)
        if self.frequencies < 1:
            raise UsageError(f"frequencies is less than one: {self.frequencies}")
        if not self.sigma > 0:
            raise UsageError(f"sigma is not a length above zero: {self.sigma:g}")
        if not 0 < self.decay < 1:
            raise UsageError(f"decay is not between 0 and 1: {self.decay:g}")

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
        point, found = find_start(is_adversarial, images, start, threat, rng)
        point = bisected(is_adversarial, images, point, _BISECTIONS, threat)
        best = none_found(images).updated(point, found, images, threat)
        numbers = tf.constant(self.samples(self.queries // self.eot - decisions_for_start(start) - _BISECTIONS))
        normal = tf.zeros_like(images)
        for step in tf.range(tf.size(numbers)):
            normal += self._normal(is_adversarial, point, numbers[step], threat, rng.fold(step + 1))
            point = _along(is_adversarial, images, point, threat.steepest(normal), threat)
            point = bisected(is_adversarial, images, point, _BISECTIONS, threat)
            best = best.updated(point, found, images, threat)
        return best.within(images, threat, otherwise=images)

    def samples(self, decisions: int) -> list[int]:
        """Return the number of neighbours of each estimate: as many estimates as leave 50 neighbours for the first."""
        growth = self.decay ** (-2 / 3)
        found: list[int] = []
        for estimates in range(1, decisions):
            shares = [growth**i for i in range(estimates)]
            left = decisions - estimates * (_LONGER + _BISECTIONS)
            numbers = [int(left * share / math.fsum(shares)) for share in shares]
            if found and numbers[0] < _LEAST:
                break
            found = numbers
        return [max(number, 1) for number in found]

    def _normal(
        self, is_adversarial: Decision, point: Tensor, samples: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Estimate the normal with noise of low frequencies: -> (N, H, W, C)."""

        def noise(i: Tensor) -> Tensor:
            return threat.restrict(self._noise(point, rng.fold(i)))

        return estimate_normal(is_adversarial, point, self.sigma, samples, noise)

    def _noise(self, images: Tensor, rng: ImageRng) -> Tensor:
        """Sample noise of low spatial frequencies: -> (N, H, W, C)."""
        height, width, channels = tf.unstack(tf.shape(images)[1:])
        rows, columns = (_cosines(side, tf.minimum(side, self.frequencies)) for side in (height, width))
        weights = rng.normal([tf.shape(rows)[1], tf.shape(columns)[1], channels])
        return tf.ensure_shape(tf.einsum("hu,nuvc,wv->nhwc", rows, weights, columns), images.shape)


def _cosines(side: Tensor, count: Tensor) -> Tensor:
    """Return the lowest frequencies of the orthonormal DCT-II: -> (side, count)."""
    places, frequencies = tf.cast(tf.range(side), tf.float32), tf.cast(tf.range(count), tf.float32)
    waves = tf.cos((2 * places[:, None] + 1) * frequencies * math.pi / (2 * tf.cast(side, tf.float32)))
    return waves * tf.sqrt(tf.where(frequencies == 0, 1.0, 2.0) / tf.cast(side, tf.float32))


def _along(is_adversarial: Decision, images: Tensor, point: Tensor, way: Tensor, threat: Threat) -> Tensor:
    """Go from the images along a direction as far as the point, doubled until across; else return the point."""
    length = threat.size(point - images)
    reached, done = point, tf.zeros_like(length, tf.bool)
    for _ in tf.range(_LONGER):
        if tf.reduce_all(done):
            break
        candidate = tf.clip_by_value(images + by_image(length) * way, 0.0, 1.0)
        good = ~done & is_adversarial(candidate)
        reached = pick_images(good, candidate, reached)
        done |= good
        length *= 2
    return reached


COMPONENT = GeoDA
