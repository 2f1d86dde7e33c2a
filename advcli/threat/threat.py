"""The threat model: the ball, the loss that an attack maximises, and when an image is adversarial."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from advcli.backend import ArrayLike, Tensor, tf
from advcli.errors import UsageError
from advcli.threat import l0_ball, l1_ball
from advcli.threat.lengths import HasLengths
from advcli.threat.rng import ImageRng
from advcli.tracing import as_written

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)


class Norm(StrEnum):
    """The norm of a perturbation."""

    LINF = "linf"
    L2 = "l2"
    L1 = "l1"
    L0 = "l0"


# The field's; those of l1 and l0 are for images of 32 pixels.
USUAL_RADIUS = {Norm.LINF: 8 / 255, Norm.L2: 0.5, Norm.L1: 12.0, Norm.L0: 10.0}


@as_written
@dataclass(frozen=True)
class Threat:
    """A ball around each image, and the goal of the attack.

    Args:
        norm: the norm of the ball.
        eps: the radius, in units of the pixel range [0, 1], in l0 a number of pixels; a tensor where training increases
            it.
        target: the target class; None means any class but the label.
        mask: (N, H, W, 1) bool, which pixels of each image may change; None means all of them.
    """

    norm: Norm = Norm.LINF
    eps: float = 8 / 255
    target: int | None = None
    mask: Tensor | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        # A norm by its name would not be the member of the enumeration that it is compared with.
        object.__setattr__(self, "norm", Norm(self.norm))
        if not isinstance(self.eps, (int, float)):
            return
        # TensorFlow would make an integer tensor of an integer.
        object.__setattr__(self, "eps", float(self.eps))
        if not 0 <= self.eps < math.inf:
            raise UsageError(f"eps is not a finite number from 0 up: {self.eps}", "give a radius such as 8/255")
        if self.norm is Norm.LINF and self.eps >= 1:
            raise UsageError(
                f"eps {self.eps:g} covers the whole pixel range",
                f"eps is in units of [0, 1]: did you mean {self.eps:g}/255?",
            )
        if self.norm is Norm.L0 and self.eps != int(self.eps):
            raise UsageError(
                f"eps {self.eps:g} is no whole number of pixels",
                "in l0 eps says how many pixels may change, such as 10",
            )

    def length(self, given: float, ratio: float) -> float | Tensor:
        """Return a length in the units of eps: ``given``, or ``ratio * eps`` if ``given`` is zero."""
        return given or ratio * self.eps

    def refuse_impossible(self, shape: Sequence[int]) -> None:
        """Refuse a radius larger than any perturbation of an image of this shape.

        Args:
            shape: height, width and channels.

        Raises:
            UsageError: the ball contains every image of this shape.
        """
        size = " x ".join(map(str, shape))
        if self.norm is not Norm.LINF and self.eps > self.largest(shape) * (1 + 1e-6):
            unit = f"units of [0, 1]: did you mean {self.eps:g}/255?"
            raise UsageError(
                f"eps {self.eps:g} is more than any image of {size} can change in {self.norm}: "
                f"{self.largest(shape):g} at the most",
                f"eps is in {'pixels' if self.norm is Norm.L0 else unit}",
            )

    def largest(self, shape: Sequence[int]) -> float:
        """Return the norm of the largest perturbation of an image of this shape: height, width, channels."""
        values = math.prod(shape)
        pixels = float(math.prod(shape[:2]))
        return {Norm.LINF: 1.0, Norm.L2: math.sqrt(values), Norm.L1: float(values), Norm.L0: pixels}[self.norm]

    def warn_of_long_step(self, component: HasLengths, spec: str) -> None:
        """Warn of a step that leads out of the ball from wherever it starts, if the component's step is a length in it.

        Args:
            component: an attack, an objective or a modifier.
            spec: what it was made from.
        """
        step = component.step_in_ball
        if step > 2 * self.eps:
            log.warning(
                "the step %g of '%s' is more than twice eps %g: a step is in the units of eps, not a fraction of it",
                *(step, spec.partition(":")[0], self.eps),
            )

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss that attacks maximise: CE with the label, or -CE with the target: (N, K), (N,) -> (N,)."""
        if self.target is None:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        targets = tf.fill(tf.shape(labels), tf.cast(self.target, labels.dtype))
        return -tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)

    def is_adversarial(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return which images are adversarial, given logits: (N, K), (N,) -> (N,) bool; false for NaN."""
        predicted = tf.argmax(logits, axis=1, output_type=labels.dtype)
        answered = ~tf.reduce_any(tf.math.is_nan(logits), axis=1)
        if self.target is None:
            return (predicted != labels) & answered
        return (predicted == tf.cast(self.target, labels.dtype)) & answered

    def is_adversarial_class(self, predicted: "np.ndarray", labels: "np.ndarray") -> "np.ndarray":
        """Return which images are adversarial, given predicted classes: -> (N,) bool; false for classes below zero."""
        wanted = predicted != labels if self.target is None else predicted == self.target
        return wanted & (predicted >= 0)

    def of(self, rows: Tensor) -> "Threat":
        """Return the threat to some images of a batch: (n,) their rows."""
        return self if self.mask is None else replace(self, mask=tf.gather(self.mask, rows))

    def restrict(self, delta: Tensor) -> Tensor:
        """Set perturbations, or gradients, to zero where pixels may not change: (N, H, W, C) -> (N, H, W, C)."""
        return delta if self.mask is None else tf.where(self.mask, delta, 0.0)

    def restore(self, points: Tensor, images: ArrayLike) -> Tensor:
        """Replace pixels that may not change by those of the images: (N, H, W, C) -> (N, H, W, C)."""
        return points if self.mask is None else tf.where(self.mask, points, images)

    def size(self, delta: Tensor) -> Tensor:
        """Return the norm of perturbations: (N, H, W, C) -> (N,).

        In l0 a pixel counts once, however many of its channels change.
        """
        if self.norm is Norm.L0:
            return l0_ball.count_pixels(delta)
        if self.norm is Norm.LINF:
            return tf.reduce_max(tf.abs(delta), axis=(1, 2, 3))
        if self.norm is Norm.L1:
            return tf.reduce_sum(tf.abs(delta), axis=(1, 2, 3))
        return tf.sqrt(tf.reduce_sum(tf.square(delta), axis=(1, 2, 3)))

    def project(self, adversarial: Tensor, original: ArrayLike) -> Tensor:
        """Project images onto the ball and onto [0, 1], and restore pixels that may not change: -> (N, H, W, C)."""
        adversarial = self.restore(adversarial, original)
        if self.norm is Norm.L1:
            return l1_ball.project(adversarial, original, self.eps)
        if self.norm is Norm.L0:
            return l0_ball.project_pixels(adversarial, original, self.eps)
        if self.norm is Norm.LINF:
            inside = tf.clip_by_value(adversarial, original - self.eps, original + self.eps)
        else:
            delta = adversarial - original
            inside = original + delta * tf.minimum(1.0, self.eps / self._floored(delta))
        return tf.clip_by_value(inside, 0.0, 1.0)

    def steepest(self, gradient: Tensor, point: Tensor | None = None) -> Tensor:
        """Return argmax over d of ``<gradient, d>`` subject to ``||d|| <= 1``: (N, H, W, C) -> (N, H, W, C).

        In l1 the exact solution changes a single coordinate, which soon reaches 0 or 1. There the step changes the
        coordinates with the greatest absolute gradient: one percent of them, at least three. If the point is given,
        only coordinates that can move in the direction of the gradient inside [0, 1] count.

        Raises:
            ValueError: the norm is l0, in which a perturbation may be of any length.
        """
        if self.norm is Norm.L0:
            raise ValueError("an l0 ball has no steps of length one")
        gradient = self.restrict(gradient)
        if self.norm is Norm.LINF:
            return tf.sign(gradient)
        if self.norm is Norm.L1:
            if point is not None:
                # Every projection frees full coordinates a little, which must not cost the next step.
                room = tf.where(gradient > 0, 1 - point, point)
                gradient = tf.where(room > 0.05, gradient, 0.0)
            return l1_ball.sparse_step(gradient, share=0.01, least=3)
        # A float32 square of a gradient below 1e-19 is zero, so the scale is taken out first.
        scale = tf.reduce_max(tf.abs(gradient), axis=(1, 2, 3), keepdims=True)
        scaled = tf.math.divide_no_nan(gradient, scale)
        return tf.math.divide_no_nan(scaled, self._floored(scaled))

    def sample(self, images: Tensor, rng: ImageRng) -> Tensor:
        """Sample points uniformly from the ball, clipped to [0, 1]: (N, H, W, C) -> (N, H, W, C)."""
        if self.norm is Norm.L0:
            free = self.restrict(tf.ones_like(images))[..., 0] > 0
            return l0_ball.sample(images, free, self.eps, rng)
        return self.project(images + self.eps * self.within(tf.shape(images)[1:], rng), images)

    def within(self, shape: Tensor, rng: ImageRng) -> Tensor:
        """Sample perturbations uniformly from the unit ball, of which there is none in l0: -> (N, *shape).

        Args:
            shape: of one image.
            rng: one random stream an image.
        """
        if self.norm is Norm.LINF:
            return self.restrict(rng.uniform(shape, -1.0, 1.0))
        dimensions = tf.cast(tf.reduce_prod(shape), tf.float32)
        if self.norm is Norm.L1:
            direction = self.restrict(l1_ball.sample_surface(shape, rng))
            if self.mask is not None:
                # Some of the coordinates of a point of the simplex, divided by their sum, are uniform on a smaller one.
                direction = tf.math.divide_no_nan(direction, self.size(direction)[:, None, None, None])
        else:
            direction = self.steepest(rng.normal(shape))
        if self.mask is not None:
            channels = tf.cast(shape[-1], tf.float32)
            pixels = tf.reduce_sum(tf.cast(self.mask, tf.float32), axis=(1, 2, 3), keepdims=True)
            dimensions = tf.maximum(pixels * channels, 1.0)
        return rng.fold(1).uniform([1, 1, 1]) ** (1.0 / dimensions) * direction

    def quantized(self) -> "Threat":
        """Return this threat, for linf with eps rounded down to a multiple of 1/255."""
        if self.norm is not Norm.LINF:
            return self
        return replace(self, eps=math.floor(self.eps * 255 + 1e-6) / 255)

    def _floored(self, delta: Tensor) -> Tensor:
        return tf.maximum(tf.sqrt(tf.reduce_sum(tf.square(delta), axis=(1, 2, 3), keepdims=True)), 1e-12)
