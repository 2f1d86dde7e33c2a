"""Block shuffle and rotation: momentum steps along the mean gradient of images whose blocks change places.

Wang, He, Wang and Wang 2024, https://arxiv.org/abs/2308.10299
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.attacks import Attack, _momentum
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.gradient import loss_gradient
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class BSR(Attack):
    """Momentum steps with the gradient averaged over copies of the image, each shuffled and rotated in another way.

    An image is cut into strips of random sizes, which change places; so do the blocks that each strip is cut into. A
    block is rotated about its centre, bilinearly, and black where it has no pixels. Strips are rows in every other
    copy, and columns in the others.

    Args:
        steps: number of gradient steps.
        step: length of a step, in the units of eps; 0 means eps / steps.
        decay: factor of the accumulated gradient at each step.
        samples: number of copies.
        blocks: number of strips, and of blocks in a strip.
        angle: the largest angle of rotation in degrees.
    """

    kind: ClassVar[str] = "transfer"
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    steps: int = 10
    step: float = 0.0
    decay: float = 1.0
    samples: int = 20
    blocks: int = 2
    angle: float = 24.0

    def __post_init__(self) -> None:
        _momentum.check(self.steps, self.step, self.decay)
        if self.samples < 1:
            raise UsageError(f"samples is less than one: {self.samples}", "mifgsm is the attack without them")
        if self.blocks < 1:
            raise UsageError(f"blocks is less than one: {self.blocks}", "give 2, for example")
        if not 0 <= self.angle <= 180:
            raise UsageError(f"angle is not from 0 to 180 degrees: {self.angle:g}", "give 24, for example")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the last iterate: (N, H, W, C), (N,) -> (N, H, W, C)."""
        pace = _momentum.Pace(self.steps, threat.length(self.step, 1 / self.steps), self.decay)

        def gradient(at: Tensor, _: Tensor, i: Tensor) -> Tensor:
            total = tf.zeros_like(at)
            for j in tf.range(self.samples):
                own = rng.fold(i).fold(j)
                total += loss_gradient(
                    lambda pixels, own=own, j=j: logits_fn(self.shuffle(pixels, own, j % 2 == 1)), at, labels, threat
                )[0]
            return total / self.samples

        return _momentum.climb(gradient, images, threat, pace)

    def shuffle(self, images: Tensor, rng: ImageRng, columns: Tensor | bool = False) -> Tensor:
        """Shuffle and rotate the blocks of each image: (N, H, W, C) -> (N, H, W, C).

        Args:
            images: the images.
            rng: one random stream an image.
            columns: whether the strips are columns.
        """
        return tf.ensure_shape(
            tf.cond(
                tf.convert_to_tensor(columns),
                lambda: _transposed(self._shuffled(_transposed(images), rng)),
                lambda: self._shuffled(images, rng),
            ),
            images.shape,
        )

    def _shuffled(self, images: Tensor, rng: ImageRng) -> Tensor:
        shape, n = tf.shape(images), self.blocks
        count, height, width = shape[0], shape[1], shape[2]
        numbers = rng.scalars(2 * n + 3 * n * n)
        of_strips, of_blocks = numbers[:, : 2 * n], tf.reshape(numbers[:, 2 * n :], (count, 3, n, n))
        strips = _Places(of_strips[:, :n], of_strips[:, n:], height)
        blocks = _Places(of_blocks[:, 0], of_blocks[:, 1], width)
        strip, row = strips.of(tf.range(tf.cast(height, tf.float32)))
        # Each row of pixels is cut as its strip is.
        block, column = blocks.in_row(strip, tf.range(tf.cast(width, tf.float32)))
        strip, row = strip[:, :, None], row[:, :, None]
        which = strip * n + block
        rows, first_row = _at(strips.sizes, strip), _at(strips.starts, strip)
        columns, first_column = (_at(tf.reshape(each, (count, n * n)), which) for each in (blocks.sizes, blocks.starts))
        angle = (2 * _at(tf.reshape(of_blocks[:, 2], (count, n * n)), which) - 1) * self.angle * np.float32(np.pi / 180)
        down, right = row - (rows - 1) / 2, column - (columns - 1) / 2
        from_row = tf.cos(angle) * down - tf.sin(angle) * right + (rows - 1) / 2
        from_column = tf.sin(angle) * down + tf.cos(angle) * right + (columns - 1) / 2
        flat, result = tf.reshape(images, (count, height * width, images.shape[-1])), tf.zeros_like(images)
        for below in (0.0, 1.0):
            for beside in (0.0, 1.0):
                y, x = tf.floor(from_row) + below, tf.floor(from_column) + beside
                weight = (1 - tf.abs(from_row - y)) * (1 - tf.abs(from_column - x))
                inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
                y, x = tf.where(inside, first_row + y, 0.0), tf.where(inside, first_column + x, 0.0)
                index = tf.cast(y, tf.int32) * width + tf.cast(x, tf.int32)
                result += tf.where(inside, weight, 0.0)[..., None] * _at(flat, index)
        return result


class _Places:
    """Parts of random sizes along one axis that change places: the size and start of each, and who stands where.

    Args:
        sizes: (..., n) random numbers, in the ratios of the sizes.
        order: (..., n) random numbers, in the order of the parts.
        edge: the sum of the sizes in pixels.
    """

    def __init__(self, sizes: Tensor, order: Tensor, edge: Tensor) -> None:
        whole = tf.cumsum(sizes, axis=-1)
        ends = tf.round(whole / whole[..., -1:] * tf.cast(edge, tf.float32))
        self.starts = tf.concat([tf.zeros_like(ends[..., :1]), ends[..., :-1]], -1)
        self.sizes = ends - self.starts
        self._order = tf.argsort(order, axis=-1)
        self._ends = tf.cumsum(tf.gather(self.sizes, self._order, batch_dims=len(order.shape) - 1), axis=-1)

    def of(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the part at each pixel and the pixel's place in it: (E,) -> (N, E), (N, E)."""
        return _part_at(self._order, self._ends, self.sizes, pixels)

    def in_row(self, rows: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same where the parts depend on the row: (N, H), (E,) -> (N, H, E), (N, H, E)."""
        return _part_at(_at(self._order, rows), _at(self._ends, rows), _at(self.sizes, rows), pixels)


def _part_at(order: Tensor, ends: Tensor, sizes: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    slot = tf.reduce_sum(tf.cast(ends[..., None, :] <= pixels[:, None], tf.int32), axis=-1)
    outer = len(order.shape) - 1
    part = tf.gather(order, slot, batch_dims=outer)
    begin = tf.gather(ends, slot, batch_dims=outer) - tf.gather(sizes, part, batch_dims=outer)
    return part, pixels - begin


def _at(table: Tensor, index: Tensor) -> Tensor:
    return tf.gather(table, index, batch_dims=1)


def _transposed(images: Tensor) -> Tensor:
    return tf.transpose(images, (0, 2, 1, 3))


COMPONENT = BSR
