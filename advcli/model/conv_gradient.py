"""A convolution of images with few channels, with a fast gradient with respect to the image.

On a CPU, TensorFlow's input gradient takes five to ten times as long as the convolution if the input has three
channels or one, which is the last step of the backward pass of every gradient attack. Here it is one matrix product
and a sum of shifted planes.
"""

from collections.abc import Callable

from advcli.backend import Tensor, tf
from advcli.tracing import custom_gradient

FEW = 4


def of_few_channels(kernel: Tensor, stride: int, padding: str) -> Callable[[Tensor], Tensor]:
    """Return a convolution: (N, H, W, C) -> (N, H', W', K).

    Args:
        kernel: (rows, columns, C, K).
        stride: the same for rows and columns.
        padding: ``SAME`` or ``VALID``.
    """
    planes = _planes(kernel, stride)

    def convolve(images: Tensor) -> Tensor:
        if None in images.shape[1:3]:
            return tf.nn.conv2d(images, kernel, stride, padding)

        @custom_gradient
        def convolved(images: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
            outputs = tf.nn.conv2d(images, kernel, stride, padding)
            return outputs, lambda upstream: _by_image(upstream, planes, images.shape[1:3], kernel.shape, padding)

        return convolved(images)

    return convolve


def _planes(kernel: Tensor, stride: int) -> Tensor:
    """Split the rows and columns of a kernel into multiples of the stride and remainders: -> six axes and K."""
    rows, columns, channels, features = kernel.shape
    down, across = -(-rows // stride), -(-columns // stride)
    whole = tf.pad(kernel, ((0, down * stride - rows), (0, across * stride - columns), (0, 0), (0, 0)))
    split = tf.reshape(whole, (down, stride, across, stride, channels, features))
    return tf.transpose(split, (0, 2, 1, 3, 4, 5))


def _by_image(upstream: Tensor, planes: Tensor, size: tuple[int, int], kernel: tuple[int, ...], padding: str) -> Tensor:
    """Return the gradient with respect to the image: (N, H', W', K) -> (N, H, W, C)."""
    down, across, stride, _, channels, features = planes.shape
    rows, columns = upstream.shape[1:3]
    left = tf.matmul(tf.reshape(planes, [-1, features]), tf.reshape(upstream, [-1, features]), transpose_b=True)
    left = tf.reshape(left, [down, across, stride * stride * channels, -1, rows, columns])
    shifted = [
        tf.pad(left[i, j], ((0, 0), (0, 0), (i, down - 1 - i), (j, across - 1 - j)))
        for i in range(down)
        for j in range(across)
    ]
    coarse = tf.transpose(tf.add_n(shifted), (1, 2, 3, 0))
    fine = tf.nn.depth_to_space(coarse, stride) if stride > 1 else coarse
    for axis, (side, steps, width) in enumerate(zip(size, (rows, columns), kernel, strict=False), start=1):
        before = max((steps - 1) * stride + width - side, 0) // 2 if padding == "SAME" else 0
        fine = _cut(fine, axis, before, side)
    return fine


def _cut(planes: Tensor, axis: int, start: int, length: int) -> Tensor:
    """Return a slice along an axis, padded with zeros past its end."""
    missing = max(start + length - planes.shape[axis], 0)
    begin, size = [0] * 4, [-1] * 4
    begin[axis], size[axis] = start, length - missing
    margins = [(0, missing if i == axis else 0) for i in range(4)]
    return tf.pad(tf.slice(planes, begin, size), margins) if missing else tf.slice(planes, begin, size)
