"""Adversarial patch: a sticker that determines the predicted class wherever it is placed in an image.

Brown, Mane, Roy, Abadi and Gilmer 2017, https://arxiv.org/abs/1712.09665: optimised over random positions, sizes and
angles. Pixels outside the patch do not change.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from advcli.attacks import Universal
from advcli.attacks._warp import Placement, draw
from advcli.backend import Tensor, tf
from advcli.errors import UsageError, nearest
from advcli.threat.gradient import gradient
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat

SHAPES = ("circle", "square")


class _State(NamedTuple):
    texture: Tensor
    mean: Tensor
    square: Tensor
    time: Tensor


@dataclass(frozen=True)
class Patch(Universal):
    """Adam on the loss over random placements; the patch lies inside the image if it is small enough.

    The file holds the patch with its opacity. Any square image file can be applied as a patch.

    Args:
        size: side or diameter of the patch as a fraction of the image's shorter side.
        scale: random relative change of the size, between ``1 - scale`` and ``1 + scale``.
        degrees: maximum rotation in degrees, in both directions.
        shape: circle or square.
        steps: number of gradient steps, each on a batch of images.
        learning_rate: the learning rate of Adam.
    """

    kind: ClassVar[str] = "universal"
    bounded: ClassVar[bool] = False

    size: float = 0.35
    scale: float = 0.2
    degrees: float = 22.5
    shape: str = "circle"
    steps: int = 500
    learning_rate: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.size <= 1:
            raise UsageError(f"size is not a fraction of the image: {self.size:g}", "give a number above 0, up to 1")
        if not 0 <= self.scale < 1:
            raise UsageError(f"scale is not a fraction below one: {self.scale:g}")
        if not 0 <= self.degrees <= 180:
            raise UsageError(f"degrees is not between 0 and 180: {self.degrees:g}")
        if self.shape not in SHAPES:
            raise UsageError(f"patch has no shape '{self.shape}'", nearest(self.shape, SHAPES))
        if self.steps < 1:
            raise UsageError(f"steps is less than one: {self.steps}")
        if self.learning_rate <= 0:
            raise UsageError(f"learning_rate is not positive: {self.learning_rate:g}")

    def start(self, size: tuple[int, int], channels: int) -> _State:
        """Return a grey patch with as many pixels as it covers in an image of this size."""
        side = max(round(self.size * min(size)), 1)
        nothing = tf.zeros([side, side, channels])
        return _State(nothing + 0.5, nothing, nothing, tf.constant(0))

    def ascend(
        self,
        logits_fn: Callable[[Tensor], Tensor],
        state: _State,
        images: Tensor,
        labels: Tensor,
        threat: Threat,
        rng: ImageRng,
    ) -> _State:
        """Take one step of Adam: (N, H, W, C), (N,)."""

        def loss(texture: Tensor) -> Tensor:
            pattern = self.pattern(state._replace(texture=texture))
            placed = self.apply(pattern, images, threat, rng.fold(state.time))
            return threat.loss(logits_fn(placed), labels)

        ascent = gradient(loss, state.texture)
        time = state.time + 1
        mean = 0.9 * state.mean + 0.1 * ascent
        square = 0.999 * state.square + 0.001 * tf.square(ascent)
        exponent = tf.cast(time, tf.float32)
        step = (mean / (1 - 0.9**exponent)) / (tf.sqrt(square / (1 - 0.999**exponent)) + 1e-8)
        texture = tf.clip_by_value(state.texture + self.learning_rate * step, 0.0, 1.0)
        return _State(texture, mean, square, time)

    def pattern(self, state: _State) -> Tensor:
        """Return the patch and its opacity: (side, side, C + 1)."""
        side = state.texture.shape[0]
        offset = np.arange(side) - (side - 1) / 2
        inside = np.hypot(offset[:, None], offset) <= side / 2 if self.shape == "circle" else np.ones((side, side))
        return tf.concat([state.texture, tf.constant(inside[..., None], tf.float32)], axis=2)

    def to_png(self, pattern: np.ndarray, threat: Threat) -> np.ndarray:
        """Round a patch to 8 bits: (H, W, C + 1) -> (H, W, C + 1) uint8."""
        return (np.asarray(pattern, np.float64) * 255).round().clip(0, 255).astype(np.uint8)

    def from_png(self, pixels: np.ndarray, threat: Threat) -> np.ndarray:
        """Return the patch that a file holds: (H, W, C + 1) uint8 -> (H, W, C + 1) float32."""
        return pixels.astype(np.float32) / 255

    def apply(self, pattern: Tensor, images: Tensor, threat: Threat, rng: ImageRng) -> Tensor:
        """Place the patch at a random position of each image: (N, H, W, C) -> (N, H, W, C)."""
        count, height, width, _ = tf.unstack(tf.shape(images))
        # Where it is transparent a patch has no colour that could bleed into its edge.
        sheet = tf.concat([pattern[..., :-1] * pattern[..., -1:], pattern[..., -1:]], axis=2)
        placement = self._placement(tf.shape(pattern)[0], height, width, rng)
        drawn = draw(tf.tile(sheet[None], [count, 1, 1, 1]), placement, height, width)
        opacity = tf.ensure_shape(drawn[..., -1:], [*images.shape[:3], 1])
        return tf.clip_by_value(images * (1 - opacity) + drawn[..., :-1], 0.0, 1.0)

    def _placement(self, side: Tensor, height: int | Tensor, width: int | Tensor, rng: ImageRng) -> Placement:
        """Sample the placement of the patch in each image."""
        size, turn, down, across = tf.unstack(rng.uniform([4]), axis=1)
        height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
        covered = self.size * (1 + self.scale * (2 * size - 1)) * tf.minimum(height, width)
        angle = (2 * turn - 1) * math.radians(self.degrees)
        half = covered / 2
        if self.shape == "square":
            half *= tf.abs(tf.sin(angle)) + tf.abs(tf.cos(angle))

        def somewhere(share: Tensor, length: int | Tensor) -> Tensor:
            near = tf.minimum(half, length / 2)
            return near + share * (length - 2 * near) - 0.5

        scale = covered / tf.cast(side, tf.float32)
        return Placement(angle, scale, somewhere(down, height), somewhere(across, width))


COMPONENT = Patch
