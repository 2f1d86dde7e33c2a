"""Rotate, scale and translate images with bilinear interpolation on a black background.

The gradient of TensorFlow's ImageProjectiveTransformV3 applies the inverse transformation, which is wrong where the
scale changes or an image is cropped. Here each output pixel propagates its gradient to the four input pixels that it
was interpolated from.
"""

from typing import NamedTuple

from advcli.backend import Tensor, tf
from advcli.tracing import custom_gradient


class Placement(NamedTuple):
    """The positions of images on the canvas: one row for each image, or one for all.

    Args:
        angle: (N,) counter-clockwise rotation in radians.
        scale: (N,) canvas pixels along an axis for each image pixel.
        row: (N,) position of the image's centre, in pixels from the centre of the first row.
        column: (N,) likewise, from the centre of the first column.
    """

    angle: Tensor
    scale: Tensor
    row: Tensor
    column: Tensor


def middle(size: Tensor) -> Tensor:
    """Return the coordinate halfway between the first pixel and the last: (size - 1) / 2."""
    return (tf.cast(size, tf.float32) - 1) / 2


def draw(pictures: Tensor, placement: Placement, height: int | Tensor, width: int | Tensor) -> Tensor:
    """Draw images on a black canvas: (N, h, w, C) -> (N, height, width, C)."""
    transforms = _inverse(placement, tf.shape(pictures))

    @custom_gradient
    def drawn(pixels: Tensor) -> tuple[Tensor, object]:
        def gradient(upstream: Tensor) -> Tensor:
            return _given_back(upstream, transforms, tf.shape(pixels))

        canvas = tf.raw_ops.ImageProjectiveTransformV3(
            images=pixels,
            transforms=transforms,
            output_shape=tf.stack([height, width]),
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
        )
        return canvas, gradient

    return drawn(pictures)


def _inverse(placement: Placement, shape: Tensor) -> Tensor:
    """Return the affine map from canvas to image coordinates, as ImageProjectiveTransformV3 takes it: -> (N, 8)."""
    sine, cosine = tf.sin(placement.angle) / placement.scale, tf.cos(placement.angle) / placement.scale
    column = middle(shape[2]) - cosine * placement.column + sine * placement.row
    row = middle(shape[1]) - sine * placement.column - cosine * placement.row
    # The last two parameters are the perspective, which is zero.
    none = tf.zeros_like(sine)
    return tf.stack([cosine, -sine, column, sine, cosine, row, none, none], axis=1)


def _given_back(upstream: Tensor, transforms: Tensor, shape: Tensor) -> Tensor:
    """Return the gradient with respect to the images from that of the canvas: (N, H, W, C) -> (N, h, w, C)."""
    count, height, width, channels = tf.unstack(shape)
    down = tf.range(tf.shape(upstream)[1], dtype=tf.float32)[:, None]
    across = tf.range(tf.shape(upstream)[2], dtype=tf.float32)[None, :]
    by_column, by_row, start = (transforms[:, i:6:3, None, None] for i in range(3))
    columns, rows = tf.unstack(by_column * across + by_row * down + start, axis=1)
    # The gradient of samples outside the image goes to a border of one pixel, which is removed.
    columns = tf.clip_by_value(columns, -1.0, tf.cast(width, tf.float32))
    rows = tf.clip_by_value(rows, -1.0, tf.cast(height, tf.float32))
    left = tf.minimum(tf.floor(columns), tf.cast(width - 1, tf.float32))
    top = tf.minimum(tf.floor(rows), tf.cast(height - 1, tf.float32))
    first = tf.range(count)[:, None, None] * (height + 2) * (width + 2)
    corner = first + (tf.cast(top, tf.int32) + 1) * (width + 2) + tf.cast(left, tf.int32) + 1
    given = tf.zeros([count * (height + 2) * (width + 2), channels])
    for below, down_share in ((0, 1 - rows + top), (1, rows - top)):
        for right, across_share in ((0, 1 - columns + left), (1, columns - left)):
            place = corner + below * (width + 2) + right
            share = (down_share * across_share)[..., None] * upstream
            given = tf.tensor_scatter_nd_add(given, tf.reshape(place, [-1, 1]), tf.reshape(share, [-1, channels]))
    bordered = tf.reshape(given, [count, height + 2, width + 2, channels])
    return bordered[:, 1:-1, 1:-1]
