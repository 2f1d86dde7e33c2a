"""Sigma-zero: gradient descent on a smooth count of the changed pixels, with a threshold that adapts; l0.

Cinà, Villani, Pintor, Schönherr, Biggio and Pelillo 2024, https://arxiv.org/abs/2402.01879
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack
from advcli.attacks._minimal import NearestAdversarial, annealed, margin, none_found
from advcli.attacks._pixels import best_values, exchange, fewest, put
from advcli.attacks._rounds import by_image, headway, pick_images
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat import l0_ball
from advcli.threat.gradient import gradient_and_aux
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat

# Exchanges of pixels in a round of the search that comes after.
_EXCHANGES = 40


@dataclass(frozen=True)
class SigmaZero(Attack):
    """Adam on ``max(margin, 0) + mean(|d|^2 / (|d|^2 + smoothing))``, d the perturbation of a pixel.

    After each step pixels that change by less than a threshold are set back. It rises while the image is adversarial
    and falls while it is not. The paper counts values; here a pixel counts once, whatever number of channels it has.

    Args:
        steps: number of gradient steps.
        learning_rate: of Adam, at first; it falls to a tenth along a cosine.
        smoothing: how smooth the count is: |d|^2 at which a pixel counts half.
        threshold: the first threshold, in pixel values of [0, 1].
        pace: by how much the threshold changes in a step, as a ratio of the learning rate.
        refine: rounds of a search that comes after, for this one leaves pixels that are not needed: give the pixels of
            the greatest gradient their best values, and bisect for the least number of them; where that is more than
            the ball has, 40 exchanges of pixels inside it; 0: the paper's search alone.
    """

    kind: ClassVar[str] = "minimum-norm"
    norms: ClassVar[tuple[str, ...]] = ("l0",)

    steps: int = 1000
    learning_rate: float = 1.0
    smoothing: float = 0.001
    threshold: float = 0.3
    pace: float = 0.01
    refine: int = 5

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps is less than one: {self.steps}")
        for option in ("learning_rate", "smoothing"):
            if getattr(self, option) <= 0:
                raise UsageError(f"{option} is not positive: {getattr(self, option):g}")
        for option in ("threshold", "pace"):
            if not 0 <= getattr(self, option) < 1:
                raise UsageError(f"{option} is not from 0 to 1: {getattr(self, option):g}")
        if self.refine < 0:
            raise UsageError(f"refine is negative: {self.refine}", "give 0 for the paper's search alone")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the adversarial image of fewest changed pixels, brought into the ball: (N, H, W, C), (N,) -> same."""
        if threat.eps == 0:
            return images
        best, point = self._descend(logits_fn, images, labels, threat)
        for _ in tf.range(self.refine):
            best = _refined(best, logits_fn, images, labels, threat)
        found = best.within(images, threat, otherwise=point)
        if self.refine == 0:
            return found
        return self._exchanged(found, logits_fn, images, labels, threat)

    def _exchanged(
        self, start: Tensor, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat
    ) -> Tensor:
        """Exchange pixels inside the ball as long as that raises the loss: (N, H, W, C) -> (N, H, W, C)."""
        gradient, logits = _look(logits_fn, start, labels, threat)
        greedy = put(images, *best_values(gradient, images), threat.eps)
        logits_there = logits_fn(greedy)
        better = headway(threat, logits_there, labels) > headway(threat, logits, labels)
        better &= ~threat.is_adversarial(logits, labels)
        best = pick_images(better, greedy, start)
        logits = tf.where(better[:, None], logits_there, logits)
        loss, done = headway(threat, logits, labels), threat.is_adversarial(logits, labels)
        most = tf.fill(tf.shape(labels), max(int(threat.eps) // 2, 1))
        count, barred = most, tf.zeros_like(images[..., 0], tf.bool)
        for _ in tf.range(_EXCHANGES * self.refine):
            if tf.reduce_all(done):
                break
            gradient, _ = _look(logits_fn, best, labels, threat)
            point = exchange(best, images, gradient, threat.eps, count, barred)
            logits = logits_fn(point)
            reached = headway(threat, logits, labels)
            better = ~done & (reached > loss)
            # A pixel that did not help is not tried again before another has.
            tried = tf.reduce_any((point != best) & (point != images), axis=-1) & (count == 1)[:, None, None]
            barred = tf.where(better[:, None, None], False, barred | tried)
            count = tf.where(better, most, tf.maximum(count // 2, 1))
            best = pick_images(better, point, best)
            loss = tf.where(better, reached, loss)
            done |= better & threat.is_adversarial(logits, labels)
        return best

    def _descend(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat
    ) -> tuple[NearestAdversarial, Tensor]:
        """Run the paper's search: -> the adversarial images of fewest changed pixels, and the last iterates."""
        delta, best, point = tf.zeros_like(images), none_found(images), images
        mean, square = tf.zeros_like(images), tf.zeros_like(images)
        threshold = tf.fill(tf.shape(labels), self.threshold)
        pixels = tf.cast(tf.reduce_prod(tf.shape(images)[1:3]), tf.float32)

        def objective(delta: Tensor) -> tuple[Tensor, Tensor]:
            logits = logits_fn(images + delta)
            length = tf.reduce_sum(tf.square(delta), axis=-1)
            count = tf.reduce_sum(length / (length + self.smoothing), axis=(1, 2))
            return tf.nn.relu(margin(logits, labels, threat)) + count / pixels, logits

        for i in tf.range(self.steps):
            gradient, logits = gradient_and_aux(objective, delta)
            is_adversarial = threat.is_adversarial(logits, labels)
            best = best.updated(point, is_adversarial, images, threat)
            gradient = threat.restrict(gradient)
            largest = tf.reduce_max(tf.abs(gradient), axis=(1, 2, 3), keepdims=True)
            gradient /= tf.maximum(largest, 1e-12)
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * tf.square(gradient)
            time = tf.cast(i + 1, tf.float32)
            step = (mean / (1 - 0.9**time)) / (tf.sqrt(square / (1 - 0.999**time)) + 1e-8)
            point = tf.clip_by_value(
                images + delta - annealed(self.learning_rate, self.learning_rate / 10, i, self.steps) * step, 0.0, 1.0
            )
            change = self.pace * annealed(self.learning_rate, self.learning_rate / 10, i + 1, self.steps)
            threshold = tf.clip_by_value(tf.where(is_adversarial, threshold + change, threshold - change), 0.0, 1.0)
            kept = tf.reduce_max(tf.abs(point - images), axis=-1, keepdims=True) >= by_image(threshold)
            point = tf.where(kept, point, images)
            delta = point - images
        best = best.updated(point, threat.is_adversarial(logits_fn(point), labels), images, threat)
        return best, point


def _look(
    logits_fn: Callable[[Tensor], Tensor], points: Tensor, labels: Tensor, threat: Threat
) -> tuple[Tensor, Tensor]:
    """Return the gradient that leads to the adversary's aim, and the logits."""

    def ahead(points: Tensor) -> tuple[Tensor, Tensor]:
        logits = logits_fn(points)
        return -margin(logits, labels, threat), logits

    gradient, logits = gradient_and_aux(ahead, points)
    return threat.restrict(gradient), logits


def _refined(
    best: NearestAdversarial, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat
) -> NearestAdversarial:
    """Look for fewer pixels: of those already changed, and of all, with their best values to first order."""

    def is_adversarial(points: Tensor) -> Tensor:
        return threat.is_adversarial(logits_fn(points), labels)

    found = pick_images(tf.math.is_finite(best.size), best.image, images)
    gradient, _ = _look(logits_fn, found, labels, threat)
    values, gain = best_values(gradient, images)
    # A pixel that is changed counts even if, to first order, it gains nothing.
    own = tf.maximum(tf.reduce_sum(gradient * (found - images), axis=-1), 0.0) + 1e-12
    own = tf.where(tf.reduce_any(found != images, axis=-1), own, 0.0)
    for candidates, order in ((found, own), (values, gain)):
        most = tf.cast(l0_ball.count_pixels(candidates - images), tf.int32)
        points, reached = fewest(is_adversarial, images, candidates, order, most)
        best = best.updated(points, reached, images, threat)
    return best


COMPONENT = SigmaZero
