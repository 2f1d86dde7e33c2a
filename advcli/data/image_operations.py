"""The image operations of AugMix, one for each image of a batch.

Hendrycks, Mu, Cubuk, Zoph, Gilmer and Lakshminarayanan 2020, https://arxiv.org/abs/1912.02781

The operations are Pillow's, with the strengths of the authors' code, without those that are part of the common
corruption benchmarks. Each operation is either a look-up table of 256 values or an affine transformation. One step
of all images of a batch is therefore one look-up and one transformation, although each image has its own operation.
"""

import math

from advcli.backend import Tensor, tf

# The look-up tables come first, in the order of _tables.
OPERATIONS = (
    *("autocontrast", "equalize", "posterize", "solarize"),
    *("rotate", "shear-x", "shear-y", "translate-x", "translate-y"),
)
_TABLES = 4


def operated(images: Tensor, operations: Tensor, strengths: Tensor, signs: Tensor) -> Tensor:
    """Apply one operation, or none, to each image: (M, H, W, C) -> (M, H, W, C).

    Args:
        images: in [0, 1].
        operations: (M,) indices into ``OPERATIONS``; an index past the end leaves the image unchanged.
        strengths: (M,) from 0 to 10.
        signs: (M,) 1 or -1: the direction of a rotation, shear or translation.
    """
    kind = tf.cast(operations >= _TABLES, tf.int32) + tf.cast(operations >= len(OPERATIONS), tf.int32)
    by_table, by_place, none = places = tf.dynamic_partition(tf.range(tf.shape(images)[0]), kind, 3)
    toned = _toned(*(tf.gather(values, by_table) for values in (images, operations, strengths)))
    moved = _moved(*(tf.gather(values, by_place) for values in (images, operations, strengths, signs)))
    return tf.dynamic_stitch(places, [toned, moved, tf.gather(images, none)])


def _whole(strengths: Tensor, greatest: float | Tensor) -> Tensor:
    """Return ``floor(strengths / 10 * greatest)``."""
    return tf.floor(strengths * greatest / 10)


def _toned(images: Tensor, operations: Tensor, strengths: Tensor) -> Tensor:
    count, _, _, channels = tf.unstack(tf.shape(images))
    planes = tf.reshape(tf.range(count * channels), [count, 1, 1, channels])
    places = 256 * planes + tf.cast(tf.round(255 * images), tf.int32)
    seen = tf.math.unsorted_segment_sum(tf.ones_like(places), places, 256 * count * channels)
    tables = _tables(tf.reshape(seen, [count, channels, 256]), strengths[:, None, None])
    mine = tf.stack([operations, tf.range(count)], axis=1)
    return tf.cast(tf.gather(tf.reshape(tf.gather_nd(tables, mine), [-1]), places), tf.float32) / 255


def _tables(seen: Tensor, strengths: Tensor) -> Tensor:
    """Return the look-up tables of the first operations, given histograms: (M, C, 256) -> (4, M, C, 256)."""
    values = tf.broadcast_to(tf.range(256), tf.shape(seen))
    present = tf.cast(seen > 0, tf.int32)
    lowest = tf.argmax(present, axis=2, output_type=tf.int32)[..., None]
    highest = 255 - tf.argmax(present[..., ::-1], axis=2, output_type=tf.int32)[..., None]
    spread = highest - lowest
    stretched = tf.where(spread > 0, (values - lowest) * 255 // tf.maximum(spread, 1), values)
    # Pillow excludes the brightest value, which becomes white; images of few pixels are unchanged.
    step = (tf.reduce_sum(seen, axis=2, keepdims=True) - tf.gather(seen, highest, batch_dims=2)) // 255
    below = tf.cumsum(seen, axis=2, exclusive=True)
    even = tf.where(step > 0, (step // 2 + below) // tf.maximum(step, 1), values)
    dropped = tf.bitwise.left_shift(1, 4 + tf.cast(_whole(strengths, 4), tf.int32))
    coarse = values - values % dropped
    turned = tf.where(tf.cast(values, tf.float32) < 256 - _whole(strengths, 256), values, 255 - values)
    return tf.clip_by_value(tf.stack([stretched, even, coarse, turned]), 0, 255)


def _moved(images: Tensor, operations: Tensor, strengths: Tensor, signs: Tensor) -> Tensor:
    height, width = tf.unstack(tf.cast(tf.shape(images)[1:3], tf.float32))

    def if_named(name: str, amounts: Tensor) -> Tensor:
        return tf.where(operations == OPERATIONS.index(name), signs * amounts, 0.0)

    angle = tf.cast(if_named("rotate", _whole(strengths, 30)) * (math.pi / 180), tf.float64)
    sine, cosine = tf.cast(tf.sin(angle), tf.float32), tf.cast(tf.cos(angle), tf.float32)
    across, down = (if_named(name, strengths * 0.3 / 10) for name in ("shear-x", "shear-y"))
    right, below = (
        if_named(name, _whole(strengths, size / 3)) for name, size in (("translate-x", width), ("translate-y", height))
    )
    # Rotations are about the centre, shears about the image's corner, half a pixel from the centre of its first pixel.
    middle, centre = (width - 1) / 2, (height - 1) / 2
    column = middle - cosine * middle + sine * centre + across / 2 + right
    row = centre - sine * middle - cosine * centre + down / 2 + below
    none = tf.zeros_like(sine)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([cosine, across - sine, column, sine + down, cosine, row, none, none], axis=1),
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
