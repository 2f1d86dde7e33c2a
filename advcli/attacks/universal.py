"""Universal perturbation: one perturbation that, added to any image, fools the model on most of them.

Moosavi-Dezfooli, Fawzi, Fawzi and Frossard 2017, https://arxiv.org/abs/1610.08401, showed that such perturbations
exist. The method is that of Shafahi, Najibi, Xu, Dickerson, Davis and Goldstein 2020, https://arxiv.org/abs/1811.11304:
stochastic gradient ascent with a bound on each image's loss.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from advcli.attacks import Universal
from advcli.attacks._rounds import by_image
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.gradient import loss_gradient, refuse_bad_steps
from advcli.threat.rng import ImageRng
from advcli.threat.rounding import round_to_length
from advcli.threat.threat import Norm, Threat

# The 8-bit value that stands for no change; as many steps of 1/255 go up from it as down.
ZERO = 128
REACH = 127


class _State(NamedTuple):
    delta: Tensor
    velocity: Tensor


@dataclass(frozen=True)
class UniversalPerturbation(Universal):
    """Steepest-ascent steps on the loss of a batch, with momentum, each projected onto the ball.

    The file holds ``128 + 255 * delta``, so that one grey level of the file is one grey level of the image.

    Args:
        steps: number of gradient steps, each on a batch of images.
        step: length of a step, in the units of eps; 0 means 0.1 eps.
        decay: factor of the accumulated gradient at each batch.
        clip: upper bound of an image's cross-entropy, above which it has no gradient; unused with a target class.
    """

    kind: ClassVar[str] = "universal"
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    steps: int = 200
    step: float = 0.0
    decay: float = 0.9
    clip: float = 9.0

    def __post_init__(self) -> None:
        refuse_bad_steps(self.steps, self.step)
        if self.clip <= 0:
            raise UsageError(f"clip is not positive: {self.clip:g}")
        if not 0 <= self.decay < 1:
            raise UsageError(f"decay is not a fraction below one: {self.decay:g}")

    def start(self, size: tuple[int, int], channels: int) -> _State:
        """Return a zero perturbation with zero momentum."""
        nothing = tf.zeros([*size, channels])
        return _State(nothing, nothing)

    def ascend(
        self,
        logits_fn: Callable[[Tensor], Tensor],
        state: _State,
        images: Tensor,
        labels: Tensor,
        threat: Threat,
        rng: ImageRng,
    ) -> _State:
        """Take one step: (N, H, W, C), (N,)."""
        # The gradient by the perturbed pixels, not through the cut to [0, 1]: it also leads back from beyond.
        gradients, logits = loss_gradient(logits_fn, tf.clip_by_value(images + state.delta, 0.0, 1.0), labels, threat)
        counts = threat.loss(logits, labels) < self.clip
        velocity = self.decay * state.velocity + tf.reduce_sum(tf.where(by_image(counts), gradients, 0.0), axis=0)
        moved = state.delta + threat.length(self.step, 0.1) * threat.steepest(velocity[None])[0]
        return _State(_within(moved, threat), velocity)

    def pattern(self, state: _State) -> Tensor:
        """Return the perturbation: (H, W, C)."""
        return state.delta

    def to_png(self, pattern: np.ndarray, threat: Threat) -> np.ndarray:
        """Quantize a perturbation to 8 bits inside the ball: (H, W, C) -> (H, W, C) uint8."""
        delta = np.asarray(pattern, np.float64) * 255
        radius = threat.eps * 255 + 1e-6
        if threat.norm is Norm.LINF:
            reach = min(int(radius), REACH)
            return (ZERO + np.rint(delta).clip(-reach, reach)).astype(np.uint8)
        length = min(radius, float(np.linalg.norm(delta)) + 1e-6)
        return (ZERO + round_to_length(delta, length, -REACH, REACH)).astype(np.uint8)

    def from_png(self, pixels: np.ndarray, threat: Threat) -> np.ndarray:
        """Return the perturbation that a file holds: (H, W, C) uint8 -> (H, W, C) float32."""
        return (pixels.astype(np.float32) - ZERO) / 255

    def apply(self, pattern: Tensor, images: Tensor, threat: Threat, rng: ImageRng) -> Tensor:
        """Add the perturbation, resized to the images and projected onto the ball: (N, H, W, C) -> (N, H, W, C)."""
        delta = tf.image.resize(pattern[None], tf.shape(images)[1:3], tf.image.ResizeMethod.BILINEAR, antialias=True)
        return threat.project(images + delta, images)


def _within(delta: Tensor, threat: Threat) -> Tensor:
    """Project a perturbation onto the ball: (H, W, C) -> (H, W, C)."""
    if threat.norm is Norm.LINF:
        return tf.clip_by_value(delta, -threat.eps, threat.eps)
    return delta * tf.minimum(1.0, threat.eps / tf.maximum(threat.size(delta[None]), 1e-12))


COMPONENT = UniversalPerturbation
